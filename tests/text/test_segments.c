/* Long texts in segments: the tokens, offsets, words and counts of the whole text, whatever the stages are; and stages
 * that would take much memory or time. */
#include <cmocka_compat.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text_buffer.h"
#include "base/utf8.h"
#include "text/tokenizer_build.h"
#include "text/unicode.h"

/* ---- Random texts ---- */

static uint64_t seed = 1;

static size_t below(size_t count) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(seed >> 33) % count;
}

static const char *const snippets[] = {"a",
                                       "b",
                                       "c d",
                                       "ab",
                                       "K",
                                       "k",
                                       "x",
                                       " ",
                                       " ",
                                       " ",
                                       "  ",
                                       "\n",
                                       "\t",
                                       "\xc2\xa0",
                                       ",",
                                       ", ",
                                       ".",
                                       "'s",
                                       "'",
                                       "``",
                                       "7",
                                       "42",
                                       "word",
                                       "Word",
                                       "two words",
                                       "<m>",
                                       " <m> ",
                                       "[S]",
                                       "</s>",
                                       "<mask>",
                                       "[MASK] ",
                                       "\xcc\x81",
                                       "e\xcc\x81",
                                       "\xc3\xa9",
                                       "\xd0\xb4\xd0\xb0",
                                       "\xd0\x98",
                                       "\xd0\xb9",
                                       "\xe4\xb8\xad\xe6\x96\x87",
                                       "\xea\xb0\x80",
                                       "\xe1\x84\x80",
                                       "\xc4\xb0",
                                       "\xd8\x80",
                                       "\xef\xb7\xba",
                                       "\xf0\x9f\x98\x80",
                                       "\xe2\x96\x81",
                                       "\x01",
                                       "\xe2\x80\x8b",
                                       "\xc4\xa0",
                                       "\xe2\x84\xa2",
                                       "\xcc\x96\xcc\x81",
                                       "\xd7\x90\xd7\x91",
                                       "\xd8\xb9",
                                       "z",
                                       "q r",
                                       "it's",
                                       "<",
                                       ">",
                                       "-",
                                       "\xe2\x80\x8d"};

static void add_random(text_buffer *out, size_t words, const tokenizer *t) {
    for (size_t i = 0; i < words; i++) {
        size_t id = below(8) == 0 && t->vocabulary ? below(t->vocabulary) : SIZE_MAX;
        if (id != SIZE_MAX && t->tokens[id])
            text_add_string(out, t->tokens[id]);
        else
            text_add_string(out, snippets[below(sizeof snippets / sizeof snippets[0])]);
        if (below(2) == 0) text_add_string(out, below(3) ? " " : " word ");
    }
}

/* ---- Comparing ---- */

static void compare(const rubato_encoding *a, const rubato_encoding *b, const char *text) {
    if (a->count != b->count || a->cut != b->cut || a->tokens != b->tokens)
        fail_msg("%zu windows, %zu cut, %zu tokens; whole: %zu, %zu, %zu: %s", a->count, a->cut, a->tokens, b->count,
                 b->cut, b->tokens, text);
    for (size_t w = 0; w < a->count; w++) {
        const rubato_window *x = &a->windows[w], *y = &b->windows[w];
        assert_int_equal(x->length, y->length);
        if (!x->length) continue;
        bool same = memcmp(x->ids, y->ids, x->length * sizeof *x->ids) == 0 &&
                    memcmp(x->types, y->types, x->length * sizeof *x->types) == 0 &&
                    memcmp(x->offsets, y->offsets, x->length * sizeof *x->offsets) == 0 &&
                    memcmp(x->words, y->words, x->length * sizeof *x->words) == 0 &&
                    memcmp(x->sequences, y->sequences, x->length) == 0;
        if (!same) fail_msg("other tokens in segments: %s", text);
        for (size_t i = 0; i < x->length; i++) {
            const char *p = x->surfaces ? x->surfaces[i] : NULL, *q = y->surfaces ? y->surfaces[i] : NULL;
            if (!p != !q || (p && strcmp(p, q) != 0)) fail_msg("other surfaces in segments: %s", text);
        }
    }
}

/* The number of segments with the tokenizer's present settings. */
static size_t segments(const tokenizer *t, const char *text, size_t bytes) {
    size_t count = 0;
    for (size_t at = 0; at < bytes; count++)
        at = bytes - at > t->segment_bytes ? seams_next(&t->seams, text, at + t->segment_bytes, bytes) : bytes;
    return count;
}

/* Returns the number of segments over all texts. */
static size_t check_texts(tokenizer *t, size_t texts, size_t words) {
    tokenizer_scratch scratch = {0};
    size_t all = 0;
    for (size_t i = 0; i < texts; i++) {
        text_buffer text = {0}, pair = {0};
        if (below(4) == 0) text_add_string(&text, "\x01");
        add_random(&text, 1 + below(words), t);
        add_random(&pair, 1 + below(words), t);
        rubato_input input = {.text = text.data, .text_bytes = text.length};
        if (below(3) == 0) {
            input.pair = pair.data;
            input.pair_bytes = pair.length;
        }
        rubato_text_options options = {.size = sizeof options,
                                       .max_length = 6 + below(30),
                                       .truncation = RUBATO_LONGEST_FIRST,
                                       .cut_left = below(2) == 0,
                                       .windows = below(4) == 0,
                                       .whole = below(4) == 0,
                                       .special_as_text = below(4) == 0,
                                       .stride = below(2)};
        rubato_encoding *whole, *cut;
        rubato_error error;
        t->segment_bytes = SIZE_MAX;
        rubato_status status = tokenizer_encode(t, &input, &options, &scratch, &whole, &error);
        t->segment_bytes = 1 + below(40);
        all += segments(t, text.data, text.length);
        assert_int_equal(tokenizer_encode(t, &input, &options, &scratch, &cut, &error), status);
        if (status == RUBATO_OK) compare(cut, whole, text.data);
        rubato_encoding_destroy(whole);
        rubato_encoding_destroy(cut);
        text_free(&text);
        text_free(&pair);
    }
    tokenizer_scratch_free(&scratch);
    return all;
}

/* ---- Tokenizers ---- */

static void test_families(void **state) {
    (void)state;
    static const char *const names[] = {"albert", "bert",    "distilbert",  "electra",     "funnel",
                                        "mpnet",  "roberta", "xlm-roberta", "funnel-plain"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[256];
        tokenizer *t;
        rubato_error error;
        snprintf(path, sizeof path, GOLDEN "/%s", names[i]);
        if (tokenizer_load(&t, path, &error) != RUBATO_OK) fail_msg("%s", error.message);
        size_t cut = check_texts(t, 300, 200);
        if (cut < 1000) fail_msg("%s: %zu segments of 300 texts", names[i], cut);
        tokenizer_destroy(t);
    }
}

static const char *const normalizers[] = {
    "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"lowercase\":true}",
    "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":false,\"lowercase\":false}",
    "{\"type\":\"NFC\"}",
    "{\"type\":\"NFD\"}",
    "{\"type\":\"NFKC\"}",
    "{\"type\":\"NFKD\"}",
    "{\"type\":\"Lowercase\"}",
    "{\"type\":\"StripAccents\"}",
    "{\"type\":\"Nmt\"}",
    "{\"type\":\"ByteLevel\"}",
    "{\"type\":\"Strip\"}",
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\\u2581\"}",
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\"}",
    "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" {2,}\"},\"content\":\" \"}",
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"bb\"}",
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\", \"},\"content\":\";\"}",
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\"c d\"},\"content\":\"z z\"}",
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\"x\"},\"content\":\"\\u0301\"}",
    "{\"type\":\"Prepend\",\"prepend\":\"\\u2581\"}",
    "{\"type\":\"Prepend\",\"prepend\":\"\\u0600\"}"};

/* ---- A character map ---- */

enum { UNITS = 2048, LEAF = 256 };

/* The unit of a byte at `node`, whose child (a value, if it is a leaf) stands at `to`. */
static void put_unit(uint32_t *units, uint32_t node, uint32_t byte, uint32_t leaf, uint32_t to) {
    units[node] = byte | leaf | (node ^ to) << 10;
}

/* Precompiled: U+0001 and U+200B vanish, "k" becomes "q", "K" becomes "k", "z" becomes U+0600, which joins what follows
 * it. A double array: the child of a node for a byte stands at the node's base ^ byte, and the root's base is 256. */
static char *make_map(void) {
    static const char texts[] = "\0q\0k\0\xd8\x80";
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const struct { uint32_t byte, text; } keys[] = {{1, 0}, {'k', 1}, {'K', 3}, {'z', 5}};
    static uint32_t units[UNITS];
    units[0] = 256 << 10;
    for (uint32_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        put_unit(units, 256 ^ keys[i].byte, keys[i].byte, LEAF, 1800 + i);
        units[1800 + i] = 1u << 31 | keys[i].text;
    }
    put_unit(units, 256 ^ 0xe2, 0xe2, 0, 1024);
    put_unit(units, 1024 ^ 0x80, 0x80, 0, 1280);
    put_unit(units, 1280 ^ 0x8b, 0x8b, LEAF, 1810);
    units[1810] = 1u << 31;
    unsigned char bytes[4 + sizeof units + sizeof texts + 3] = {0};
    uint32_t size = sizeof units;
    memcpy(bytes, &size, 4);
    memcpy(bytes + 4, units, sizeof units);
    memcpy(bytes + 4 + sizeof units, texts, sizeof texts);
    text_buffer out = {0};
    text_add_string(&out, "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"");
    for (size_t i = 0; i + 2 < 4 + sizeof units + sizeof texts + 2; i += 3) {
        uint32_t three = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6) text_add(&out, &digits[three >> shift & 63], 1);
    }
    text_add_string(&out, "\"}");
    return out.data;
}

static const char *const pre_tokenizers[] = {
    "{\"type\":\"BertPreTokenizer\"}",
    "{\"type\":\"Whitespace\"}",
    "{\"type\":\"WhitespaceSplit\"}",
    "{\"type\":\"Punctuation\"}",
    "{\"type\":\"Digits\",\"individual_digits\":true}",
    "{\"type\":\"Digits\",\"individual_digits\":false}",
    "{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":\"always\",\"split\":true}",
    "{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":\"first\",\"split\":true}",
    "{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":\"never\",\"split\":false}",
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"use_regex\":true}",
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}",
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"use_regex\":false}"};

static char *map;

static void add_stages(text_buffer *out, const char *const *from, size_t kinds, size_t count, const char *key) {
    text_add_format(out, "{\"type\":\"Sequence\",\"%s\":[", key);
    for (size_t i = 0; i < count; i++) {
        if (i) text_add_string(out, ",");
        text_add_string(out, from == normalizers && below(4) == 0 ? map : from[below(kinds)]);
    }
    text_add_string(out, "]}");
}

static const char *truth(void) {
    return below(3) == 0 ? "true" : "false";
}

/* A Unigram model of few pieces: the unknown ones show what the stages made of the text. */
static void add_tokenizer(text_buffer *out) {
    static const char *const contents[] = {"<m>", "[S]", "k", "ab", "q r", "word", "\\u2581", "42"};
    text_add_string(out, "{\"added_tokens\":[");
    for (size_t i = 0, first = below(3), count = below(5); i < count; i++)
        text_add_format(out,
                        "%s{\"id\":%zu,\"content\":\"%s\",\"single_word\":%s,\"lstrip\":%s,\"rstrip\":%s,"
                        "\"normalized\":%s,\"special\":%s}",
                        i ? "," : "", 4 + i, contents[first + i], truth(), truth(), truth(), truth(), truth());
    text_add_string(out, "],\"normalizer\":");
    add_stages(out, normalizers, sizeof normalizers / sizeof normalizers[0], below(4), "normalizers");
    text_add_string(out, ",\"pre_tokenizer\":");
    add_stages(out, pre_tokenizers, sizeof pre_tokenizers / sizeof pre_tokenizers[0], 1 + below(3), "pretokenizers");
    text_add_string(out, ",\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"a\",-1],"
                         "[\"b\",-2],[\"\\u2581\",-3]]}}");
}

static tokenizer *parsed(const char *json) {
    tokenizer *t;
    rubato_error error;
    if (tokenizer_parse(&t, json, strlen(json), "tokenizer.json", NULL, NULL, NULL, &error) != RUBATO_OK)
        fail_msg("%s: %s", error.message, json);
    return t;
}

static void test_stages(void **state) {
    (void)state;
    size_t cut = 0, without = 0;
    map = make_map();
    for (size_t i = 0; i < 1500; i++) {
        text_buffer json = {0};
        add_tokenizer(&json);
        tokenizer *t = parsed(json.data);
        without += t->seams.none;
        cut += check_texts(t, 6, 80);
        tokenizer_destroy(t);
        text_free(&json);
    }
    free(map);
    assert_true(cut > 20000);
    assert_in_range(without, 100, 1400);
}

/* The letters beside seams are what seams.c says of them. */
static void test_letters(void **state) {
    (void)state;
    tokenizer *t = parsed("{\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"},\"model\":{\"type\":\"Unigram\","
                          "\"unk_id\":0,\"vocab\":[[\"<unk>\",0]]}}");
    size_t letters = 0;
    for (uint32_t code = 0x80; code < 0x800; code++) {
        char text[16];
        size_t size = utf8_put(text, code);
        memcpy(text + size, " aa", 3);
        if (seams_next(&t->seams, text, 0, size + 3) == size + 3) { /* needs a character before */
            memmove(text + 1, text, size + 3);
            text[0] = 'a';
            if (seams_next(&t->seams, text, 0, size + 4) == size + 4) continue;
        }
        uint32_t parts[MAX_DECOMPOSITION], lower[3];
        int32_t grapheme = 0;
        letters++;
        assert_int_equal(character_decompose(code, true, parts), 1);
        assert_int_equal(parts[0], code);
        assert_int_equal(character_lower(code, lower), 1);
        assert_int_equal(character_combining_class(code), 0);
        assert_true(character_flags(code) & CHARACTER_LETTER);
        assert_false(character_flags(code) & (CHARACTER_MARK | CHARACTER_DROP | CHARACTER_SPACE));
        assert_true(grapheme_break(code, ' ', &grapheme));
        grapheme = 0;
        assert_true(grapheme_break(' ', code, &grapheme));
        for (uint32_t other = 'a'; other < 0x800; other++) assert_int_equal(character_compose(other, code), 0);
    }
    assert_in_range(letters, 100, 200);
    tokenizer_destroy(t);
}

/* ---- Limits ---- */

static rubato_status encode(tokenizer *t, const char *text, size_t bytes, size_t most, rubato_error *error) {
    tokenizer_scratch scratch = {0};
    rubato_encoding *encoding;
    rubato_input input = {.text = text, .text_bytes = bytes};
    rubato_text_options options = {.size = sizeof options, .max_length = most, .whole = most == 0};
    rubato_status status = tokenizer_encode(t, &input, &options, &scratch, &encoding, error);
    rubato_encoding_destroy(encoding);
    tokenizer_scratch_free(&scratch);
    return status;
}

static void test_no_seam(void **state) {
    (void)state;
    tokenizer *t;
    rubato_error error;
    char text[4000];
    memset(text, 'a', sizeof text);
    assert_int_equal(tokenizer_load(&t, GOLDEN "/bert", &error), RUBATO_OK);
    t->segment_bytes = 100;
    t->most_bytes = 1000;
    assert_int_equal(encode(t, text, sizeof text, 8, &error), RUBATO_BAD_ARGUMENT);
    assert_non_null(strstr(error.message, "at most 1000"));
    assert_int_equal(encode(t, text, sizeof text, 0, &error), RUBATO_OK); /* all tokens are kept */
    for (size_t i = 500; i < sizeof text; i += 500) text[i] = ' ';
    assert_int_equal(encode(t, text, sizeof text, 8, &error), RUBATO_OK);
    tokenizer_destroy(t);
}

/* Forty steps that each make `content` of what the step before made. */
static tokenizer *growing(const char *kind, const char *step, size_t steps) {
    text_buffer json = {0};
    bool normal = strcmp(kind, "normalizer") == 0;
    text_add_format(&json, "{\"%s\":{\"type\":\"Sequence\",\"%s\":[", kind, normal ? "normalizers" : "pretokenizers");
    for (size_t i = 0; i < steps; i++) text_add_format(&json, "%s%s", i ? "," : "", step);
    text_add_string(&json, "]},\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"a\",-1]]}}");
    tokenizer *t = parsed(json.data);
    text_free(&json);
    return t;
}

static void test_growth(void **state) {
    (void)state;
    static const struct {
        const char *kind, *step, *text, *named;
    } cases[] = {
        {"normalizer", "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aaaaaaaaaa\"}", "a",
         "Replace"},
        {"normalizer", "{\"type\":\"Prepend\",\"prepend\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}", "a",
         "Prepend"},
        {"normalizer", "{\"type\":\"ByteLevel\"}", "\xc3\xa9", "ByteLevel"},
        {"pre_tokenizer", "{\"type\":\"ByteLevel\",\"use_regex\":false}", "\xc3\xa9", "ByteLevel"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tokenizer *t = growing(cases[i].kind, cases[i].step, 40);
        rubato_error error;
        double begin = clock_ms();
        assert_int_equal(encode(t, cases[i].text, strlen(cases[i].text), 8, &error), RUBATO_BAD_ARGUMENT);
        assert_non_null(strstr(error.message, cases[i].named));
        assert_true(clock_ms() - begin < 2000);
        tokenizer_destroy(t);
    }
    /* the longest real growth: 18 characters of one, then bytes */
    tokenizer *t = growing("normalizer", "{\"type\":\"NFKD\"},{\"type\":\"ByteLevel\"}", 1);
    rubato_error error;
    text_buffer text = {0};
    for (size_t i = 0; i < 5000; i++) text_add_string(&text, "\xef\xb7\xba");
    if (encode(t, text.data, text.length, 8, &error) != RUBATO_OK) fail_msg("%s", error.message);
    text_free(&text);
    tokenizer_destroy(t);
}

/* Stages whose time must not grow with the square of the text. */
static void test_time(void **state) {
    (void)state;
    rubato_error error;
    enum { COUNT = 400000 };
    text_buffer text = {0};
    tokenizer *t = growing("normalizer", "{\"type\":\"NFD\"}", 1);
    text_add_string(&text, "a");
    for (size_t i = 0; i < COUNT; i++) text_add_string(&text, i % 2 ? "\xcc\x96" : "\xcc\x81");
    double begin = clock_ms();
    assert_int_equal(encode(t, text.data, text.length, 8, &error), RUBATO_OK);
    tokenizer_destroy(t);
    text_clear(&text);
    for (size_t i = 0; i < COUNT; i++) text_add_string(&text, " ");
    t = parsed("{\"added_tokens\":[{\"id\":1,\"content\":\"  \",\"lstrip\":true,\"rstrip\":true,\"normalized\":false,"
               "\"single_word\":false,\"special\":false}],\"model\":{\"type\":\"Unigram\",\"unk_id\":0,"
               "\"vocab\":[[\"<unk>\",0]]}}");
    assert_int_equal(encode(t, text.data, text.length, 8, &error), RUBATO_OK);
    tokenizer_destroy(t);
    assert_true(clock_ms() - begin < 20000); /* minutes where it is a square */
    text_free(&text);
}

/* A token that is one of the blanks which the token before it has swallowed. */
static void test_swallowed(void **state) {
    (void)state;
    tokenizer *t = parsed("{\"added_tokens\":[{\"id\":1,\"content\":\"<m>\",\"rstrip\":true,\"normalized\":false},"
                          "{\"id\":2,\"content\":\" \",\"normalized\":false}],\"model\":{\"type\":\"Unigram\","
                          "\"unk_id\":0,\"vocab\":[[\"<unk>\",0]]}}");
    rubato_error error;
    if (encode(t, "<m>   x", 7, 8, &error) != RUBATO_OK) fail_msg("%s", error.message);
    tokenizer_destroy(t);
}

static void test_long_names(void **state) {
    (void)state;
    text_buffer json = {0};
    tokenizer *t;
    rubato_error error;
    text_add_string(&json, "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"");
    for (size_t i = 0; i < 2000; i++) text_add_string(&json, "a");
    text_add_string(&json, "\",-1]]}}");
    assert_int_equal(tokenizer_parse(&t, json.data, json.length, "tokenizer.json", NULL, NULL, NULL, &error),
                     RUBATO_UNSUPPORTED);
    assert_non_null(strstr(error.message, "1024"));
    text_free(&json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families),  cmocka_unit_test(test_stages),     cmocka_unit_test(test_letters),
        cmocka_unit_test(test_no_seam),   cmocka_unit_test(test_growth),     cmocka_unit_test(test_time),
        cmocka_unit_test(test_swallowed), cmocka_unit_test(test_long_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
