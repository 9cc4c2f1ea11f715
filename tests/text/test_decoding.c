/* From ids back to text: clean_up_tokenization_spaces of tokenizer_config.json, and marks of the ends of words. */
#include <cmocka_compat.h>
#include <string.h>

#include "text/tokenizer_build.h"

static const char unigram[] = "{\"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"<unk>\", 0], "
                              "[\"\xe2\x96\x81"
                              "do\", -1], [\"\xe2\x96\x81n't\", -1], [\"\xe2\x96\x81.\", -1], [\"\xe2\x96\x81?\", -1], "
                              "[\"\xe2\x96\x81'\", -1], [\"\xe2\x96\x81's\", -1], [\"\xe2\x96\x81,\", -1]]}}";
static const char bpe[] = "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"do\": 0, \"\xc4\xa0.\": 1}, \"merges\": []}}";

static void decodes(const char *json, const char *settings, const int32_t *ids, size_t count, const char *want) {
    rubato_error error;
    tokenizer *t;
    text_buffer out = {0};
    json_t *config = json_loads(settings, 0, NULL);
    assert_non_null(config);
    assert_int_equal(tokenizer_parse(&t, json, strlen(json), "test", NULL, NULL, config, &error), RUBATO_OK);
    assert_int_equal(tokenizer_decode(t, ids, count, false, &out, &error), RUBATO_OK);
    assert_string_equal(out.data, want);
    text_free(&out);
    tokenizer_destroy(t);
    json_decref(config);
}

static void test_marks(void **state) {
    (void)state;
    const int32_t ids[] = {1, 2, 3, 4, 1, 5, 1, 6, 7, 7};
    const char *kept = "do n't . ? do ' do 's , ,", *cleaned = "don't.? do'do's,,";
    decodes(unigram, "{}", ids, 10, kept);
    decodes(unigram, "{\"clean_up_tokenization_spaces\": false}", ids, 10, kept);
    decodes(unigram, "{\"clean_up_tokenization_spaces\": true}", ids, 10, cleaned);
    decodes(unigram, "{\"clean_up_tokenization_spaces\": true}", ids, 0, "");
}

/* The blanks of byte-level tokens belong to the text. */
static void test_byte_level(void **state) {
    (void)state;
    const int32_t ids[] = {0, 1, 1};
    decodes(bpe, "{\"clean_up_tokenization_spaces\": true}", ids, 3, "do . .");
}

/* The mark is a blank, but not at the end. Characters of the byte-level alphabet stand for themselves here. */
static void test_ends_of_words(void **state) {
    (void)state;
    static const char marked[] =
        "{\"model\": {\"type\": \"BPE\", \"end_of_word_suffix\": \"</w>\", \"unk_token\": \"<unk>\", "
        "\"vocab\": {\"<unk>\": 0, \"\xc5\x82</w>\": 1, \"a\": 2, \"a</w>\": 3}, \"merges\": []}}";
    const int32_t ids[] = {3, 2, 1, 0, 2, 1};
    decodes(marked, "{}", ids, 6, "a a\xc5\x82 <unk>a\xc5\x82");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_marks), cmocka_unit_test(test_byte_level),
                                       cmocka_unit_test(test_ends_of_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
