/* Every allocation of making a tokenizer of the files that came before tokenizer.json fails once. */
#include <string.h>

#include "base/json.h"
#include "failures/failing.h"
#include "text/tokenizer_convert.h"

typedef struct making {
    const char *class;
    file_bytes files[2];
    const char *settings;
} making;

static rubato_status make_once(void *user, digest *out, rubato_error *error) {
    const making *how = user;
    json_t *config = NULL;
    tokenizer_source from = {.class = tokenizer_class_named(how->class)};
    tokenizer *t = NULL;
    rubato_status status = json_read_bytes(&config, how->settings, strlen(how->settings), "settings", error);
    from.config = config;
    if (status == RUBATO_OK) status = tokenizer_convert(&from.root, from.class, config, how->files, error);
    if (status == RUBATO_OK) status = tokenizer_assemble(&t, &from, error);
    if (status == RUBATO_OK) {
        digest_add(out, &t->vocabulary, sizeof t->vocabulary);
        for (size_t i = 0; i < t->vocabulary; i++) digest_text(out, t->tokens[i]);
        for (size_t i = 0; i < t->added_count; i++) digest_text(out, t->added[i].content);
        digest_add(out, &t->single, sizeof t->single);
    } else {
        assert_null(t);
    }
    tokenizer_destroy(t);
    json_decref(from.root);
    json_decref(config);
    return status;
}

static void try(const char *name, making how) {
    fail_allocations(&(attempt){.name = name, .call = make_once, .user = &how, .exhaustive = 2000});
}

static const char settings[] = "{\"mask_token\": {\"content\": \"<mask>\", \"lstrip\": true}, "
                               "\"additional_special_tokens\": [\"new\"], \"add_prefix_space\": true}";

static void test_lists(void **state) {
    (void)state;
    static const char words[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##a\n";
    static const char ids[] = "{\"<s>\": 0, \"</s>\": 1, \"<unk>\": 2, \"a\": 3, \"b\": 4, \"ab\": 5}";
    static const char merges[] = "#version: 0.2\na b\n";
    try("vocab.txt", (making){"Bert", {{words, sizeof words - 1}}, settings});
    try("vocab.json", (making){"Roberta", {{ids, sizeof ids - 1}, {merges, sizeof merges - 1}}, settings});
}

/* A piece: its text, its score -1 and its type. */
#define PIECE(key, text, type) "\x0a" key "\x0a" text "\x15\0\0\x80\xbf\x18" type
#define PIECES                                                                                                         \
    PIECE("\x0e", "\x05<unk>", "\x02")                                                                                 \
    PIECE("\x0c", "\x03<s>", "\x03") PIECE("\x0d", "\x04</s>", "\x03") PIECE("\x0a",                                   \
                                                                             "\x01"                                    \
                                                                             "a",                                      \
                                                                             "\x01") PIECE("\x0a",                     \
                                                                                           "\x01"                      \
                                                                                           "b",                        \
                                                                                           "\x01") PIECE("\x0b",       \
                                                                                                         "\x02"        \
                                                                                                         "ab",         \
                                                                                                         "\x04")

static void test_sentencepiece(void **state) {
    (void)state;
    /* a character map of one unit and no texts */
    static const char unigram[] = PIECES "\x1a\x0a\x12\x08\x04\0\0\0\0\0\0\0";
    static const char bpe[] = PIECES "\x12\x02\x18\x02";
    try("unigram", (making){"XLMRoberta", {{unigram, sizeof unigram - 1}}, "{}"});
    try("unigram with settings", (making){"Camembert", {{unigram, sizeof unigram - 1}}, settings});
    try("bpe", (making){"XLMRoberta", {{bpe, sizeof bpe - 1}}, "{}"});
}

int main(int count, char **arguments) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lists), cmocka_unit_test(test_sentencepiece)};
    return failing_main(count, arguments, tests, sizeof tests / sizeof *tests);
}
