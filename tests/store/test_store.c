/* What reads files: safetensors headers that lie, data sets with bad rows, numbers on disk. */
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/threads.h"
#include "store/dataset.h"
#include "store/safetensors.h"
#include "task/metrics.h"

/* ---- safetensors ---- */

static size_t make_file(unsigned char *out, const char *header, size_t data_bytes) {
    uint64_t length = strlen(header);
    memcpy(out, &length, 8);
    memcpy(out + 8, header, length);
    for (size_t i = 0; i < data_bytes; i++) out[8 + length + i] = (unsigned char)i;
    return 8 + (size_t)length + data_bytes;
}

static void expect_refused(const char *header, size_t data_bytes, const char *part) {
    unsigned char bytes[2048];
    tensor_file file;
    rubato_error error = {0};
    size_t size = make_file(bytes, header, data_bytes);
    rubato_status status = safetensors_parse(&file, bytes, size, "x", &error);
    if (status == RUBATO_OK || !strstr(error.message, part)) fail_msg("\"%s\": %s", part, error.message);
}

static void test_safetensors(void **state) {
    (void)state;
    unsigned char bytes[2048];
    tensor_file file;
    rubato_error error;
    const char *good =
        "{\"__metadata__\":{\"format\":\"pt\"},\"b\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets\":[0,16]},"
        "\"a\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[16,18]},"
        "\"none\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[18,18]}}   ";
    size_t size = make_file(bytes, good, 18);
    assert_int_equal(safetensors_parse(&file, bytes, size, "x", &error), RUBATO_OK);
    assert_int_equal(file.count, 3);
    const stored_tensor *b = tensor_file_find(&file, "b");
    assert_int_equal(b->elements, 4);
    assert_ptr_equal(b->data, bytes + size - 18);
    assert_null(tensor_file_find(&file, "c"));
    tensor_file_close(&file);
    /* cut short at every byte */
    for (size_t cut = 0; cut < size; cut++) {
        unsigned char *copy = malloc(cut + 1);
        memcpy(copy, bytes, cut);
        assert_int_equal(safetensors_parse(&file, copy, cut, "x", &error), RUBATO_BAD_MODEL);
        free(copy);
    }
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9,
                   "8 bytes of data are declared");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, "begins at byte 4");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
                   "make 8 bytes, data_offsets 4");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "bad data_offsets");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
                   "overflows");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "whole numbers");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, "whole numbers");
    expect_refused("{\"a\":{\"dtype\":\"F99\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "unknown dtype \"F99\"");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
                   "9 dimensions");
    expect_refused("{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, "no whole byte");
    expect_refused(
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"a\":{\"dtype\":\"U8\",\"shape\":[1],"
        "\"data_offsets\":[0,1]}}",
        1, "duplicate");
    expect_refused(
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],"
        "\"data_offsets\":[1,3]}}",
        3, "begins at byte 1");
    expect_refused("[]", 0, "'{'");
    expect_refused("{\"a\":7}", 0, "needs dtype");
    uint64_t huge = UINT64_MAX;
    memcpy(bytes, &huge, 8);
    assert_int_equal(safetensors_parse(&file, bytes, 100, "x", &error), RUBATO_BAD_MODEL);
}

static void test_numbers(void **state) {
    (void)state;
    const uint16_t halves[] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x8400, 0x0000};
    const float want[] = {1.0f, -2.0f, 65504.0f, 0x1p-24f, -0x1p-14f, 0.0f};
    float got[6];
    dtype_read(got, DTYPE_F16, (const unsigned char *)halves, 0, 6);
    assert_memory_equal(got, want, sizeof want);
    const uint16_t brains[] = {0x3f80, 0xc000, 0x4049};
    dtype_read(got, DTYPE_BF16, (const unsigned char *)brains, 1, 2);
    assert_true(got[0] == -2.0f && got[1] == 3.140625f);
    float values[3] = {1, 2, INFINITY};
    assert_true(all_finite(values, 2));
    assert_false(all_finite(values, 3));
    values[2] = NAN;
    assert_false(all_finite(values, 3));
}

/* ---- Data sets ---- */

static void read_text(dataset *data, const char *text, const char *name, dataset_kind kind, const char *columns) {
    rubato_error error = {0};
    if (dataset_parse(data, text, strlen(text), name, kind, columns, &error) != RUBATO_OK)
        fail_msg("%s", error.message);
}

static void expect_bad_row(const char *text, const char *name, dataset_kind kind, const char *columns, size_t line,
                           const char *part) {
    dataset data;
    rubato_error error = {0};
    rubato_status status = dataset_parse(&data, text, strlen(text), name, kind, columns, &error);
    if (status == RUBATO_OK || error.line != line || !strstr(error.message, part) || data.items)
        fail_msg("%s: status %d, line %zu: %s", part, (int)status, error.line, error.message);
}

static void test_datasets(void **state) {
    (void)state;
    dataset d;
    read_text(&d, "sentence\tlabel\na \"b\tpos\n\nc\tneg\r\n", "x.tsv", DATASET_TEXTS, NULL);
    assert_int_equal(d.count, 2);
    assert_string_equal(d.items[0].text, "a \"b");
    assert_string_equal(d.items[1].label, "neg");
    assert_int_equal(d.items[1].line, 4);
    dataset_free(&d);
    read_text(&d, "\xef\xbb\xbftext,category\n\"a, \"\"b\"\"\nc\",x\r\nd,y", "x.csv", DATASET_TEXTS, NULL);
    assert_int_equal(d.count, 2);
    assert_string_equal(d.items[0].text, "a, \"b\"\nc");
    assert_string_equal(d.items[1].label, "y");
    assert_int_equal(d.items[1].line, 4);
    dataset_free(&d);
    read_text(&d, "g\t0.5\tone\ttwo\n", "x.tsv", DATASET_TEXTS, "text=3,pair=4,label=2");
    assert_string_equal(d.items[0].pair, "two");
    dataset_free(&d);
    read_text(&d, "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\", \"label\": 2.5}", "x.jsonl", DATASET_TEXTS, NULL);
    assert_string_equal(d.items[0].label, "1");
    assert_string_equal(d.items[1].label, "2.5");
    dataset_free(&d);
    read_text(
        &d,
        "{\"data\":[{\"paragraphs\":[{\"context\":\"c\",\"qas\":[{\"question\":\"q\",\"answers\":[{\"text\":\"c\"}]},"
        "{\"question\":\"r\",\"is_impossible\":true}]}]}]}",
        "x.json", DATASET_QUESTIONS, NULL);
    assert_int_equal(d.count, 2);
    assert_string_equal(d.items[0].answers[0], "c");
    assert_int_equal(d.items[1].answer_count, 0);
    dataset_free(&d);
    read_text(&d, "EU B-ORG\nsays O\n\n# comment\nHi\tO\n", "x.conll", DATASET_TAGS, NULL);
    assert_int_equal(d.count, 2);
    assert_int_equal(d.items[0].word_count, 2);
    assert_string_equal(d.items[0].tags[0], "B-ORG");
    dataset_free(&d);
    expect_bad_row("a\tb\n1\t2\n", "x.tsv", DATASET_TEXTS, NULL, 1, "no column for the text");
    expect_bad_row("text\tlabel\na\tb\nc\n", "x.tsv", DATASET_TEXTS, NULL, 3, "x.tsv:3: 1 field, and column 2");
    expect_bad_row("text\tlabel\n\xff\tb\n", "x.tsv", DATASET_TEXTS, NULL, 2, "not valid UTF-8");
    expect_bad_row("text,label\n\"open,b\n", "x.csv", DATASET_TEXTS, NULL, 2, "quote that does not end");
    expect_bad_row("{\"text\": \"a\"}\n{\"text\": }\n", "x.jsonl", DATASET_TEXTS, NULL, 2, "x.jsonl:2:");
    expect_bad_row("{\"other\": \"a\"}\n", "x.jsonl", DATASET_TEXTS, NULL, 1, "no text");
    expect_bad_row("{\"text\": \"\\ud800\"}\n", "x.jsonl", DATASET_TEXTS, NULL, 1, "x.jsonl:1:");
    expect_bad_row("word\n", "x.conll", DATASET_TAGS, NULL, 1, "a token and its tag");
    expect_bad_row("text\n1\n", "x.tsv", DATASET_TEXTS, "label", 0, "write text=NAME");
}

/* ---- Metrics, against values of scikit-learn 1.9, scipy 1.17, seqeval 1.2.2 and the SQuAD script ---- */

static void test_metrics(void **state) {
    (void)state;
    const size_t gold[] = {0, 1, 2, 2, 1, 0, 2}, predicted[] = {0, 2, 2, 2, 1, 1, 0};
    assert_true(fabs(metric_accuracy(gold, predicted, 7) - 4.0 / 7) < 1e-12);
    assert_true(fabs(metric_macro_f1(gold, predicted, 7, 3) - 0.5555555555555555) < 1e-12);
    assert_true(fabs(metric_matthews(gold, predicted, 7, 3) - 0.34375) < 1e-9);
    const double a[] = {1, 2, 2, 4, 5}, b[] = {2, 1, 3, 3, 5};
    assert_true(fabs(metric_pearson(a, b, 5) - 0.8000946913656627) < 1e-12);
    assert_true(fabs(metric_spearman(a, b, 5) - 0.7631578947368421) < 1e-12);
    assert_true(metric_squad_exact("The cat!", "cat") == 1);
    assert_true(fabs(metric_squad_f1("a big red cat", "the red dog") - 0.4) < 1e-12);
    const char *const tags[] = {"B-PER", "I-PER", "O", "B-LOC", "I-LOC", "I-LOC"};
    const char *const found[] = {"B-PER", "I-PER", "O", "B-LOC", "I-LOC", "O"};
    entity_counts counts = {0};
    metric_count_entities(&counts, tags, found, 6);
    assert_true(metric_entity_f1(counts) == 0.5);
    const char *const inside[] = {"I-PER", "I-PER", "I-LOC", "O", "I-LOC"};
    counts = (entity_counts){0};
    metric_count_entities(&counts, inside, inside, 5);
    assert_int_equal(counts.gold, 3);
}

/* scikit-learn's f1_score(average="micro"), ("macro"), precision_score, recall_score ("micro"), accuracy_score. */
static void test_several_labels(void **state) {
    (void)state;
    const unsigned char gold[] = {1, 0, 1, 0, 1, 0, 0, 0, 0, 1, 1, 0};
    const float scores[] = {0.9f, 0.2f, 0.4f, 0.1f, 0.5f, 0.3f, 0.6f, 0.2f, 0.1f, 0.8f, 0.7f, 0.4f};
    label_counts found = metric_count_labels(gold, scores, 4, 3);
    assert_true(fabs(found.micro_f1 - 0.8) < 1e-12); /* 4 right of 5 given and 5 gold */
    assert_true(fabs(found.precision - 0.8) < 1e-12 && fabs(found.recall - 0.8) < 1e-12);
    assert_true(fabs(found.macro_f1 - 0.6) < 1e-12); /* 0.8, 1 and 0 */
    assert_true(fabs(found.exact - 0.5) < 1e-12);
}

static size_t count_label(const dataset *data, const char *label) {
    size_t count = 0;
    for (size_t i = 0; i < data->count; i++) count += strcmp(data->items[i].label, label) == 0;
    return count;
}

/* A sorted file with a rare label; three rows of one text each. */
static void read_sorted(dataset *data) {
    static char text[64 * 1024];
    size_t at = (size_t)snprintf(text, sizeof text, "text\tlabel\n");
    for (size_t i = 0; i < 901; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "text %zu\t%s\n", i / 3,
                               i < 600   ? "a"
                               : i < 900 ? "b"
                                         : "rare");
    read_text(data, text, "x.tsv", DATASET_TEXTS, NULL);
}

static void test_parts(void **state) {
    (void)state;
    dataset data, rest, again;
    rubato_error error;
    read_sorted(&data);
    uint64_t hash = dataset_hash(&data);
    assert_int_equal(dataset_sample(&data, 0, 1, &error), RUBATO_OK);
    assert_true(data.count == 901 && dataset_hash(&data) == hash);
    assert_int_equal(dataset_sample(&data, 91, 1, &error), RUBATO_OK);
    assert_int_equal(data.count, 91);
    assert_true(count_label(&data, "rare") == 1 && abs((int)count_label(&data, "a") - 60) <= 1);
    for (size_t i = 1; i < data.count; i++) assert_true(data.items[i].line > data.items[i - 1].line);
    read_sorted(&again);
    assert_int_equal(dataset_sample(&again, 91, 2, &error), RUBATO_OK);
    assert_true(dataset_hash(&again) != dataset_hash(&data)); /* another seed draws others */
    dataset_free(&data);
    dataset_free(&again);
    /* documents stay together, on both sides in the same proportions */
    read_sorted(&data);
    assert_int_equal(dataset_divide(&data, &rest, 0.4, &error), RUBATO_OK);
    assert_true(data.count + rest.count == 901 && abs((int)rest.count - 360) <= 3);
    assert_true(abs((int)count_label(&rest, "a") - 240) <= 9);
    for (size_t i = 0; i < data.count; i++)
        for (size_t k = 0; k < rest.count; k++) assert_true(strcmp(data.items[i].text, rest.items[k].text) != 0);
    dataset_free(&data);
    dataset_free(&rest);
}

static void test_quota(void **state) {
    (void)state;
    assert_int_equal(threads_from_quota("max 100000\n"), 0);
    assert_int_equal(threads_from_quota("150000 100000\n"), 2);
    assert_int_equal(threads_from_quota("50000 100000\n"), 1);
    assert_int_equal(threads_from_quota("-1 100000"), 0);
    assert_int_equal(threads_from_quota("garbage"), 0);
    assert_int_equal(threads_from_quota("1e99 1"), 1024);
}

static void test_files(void **state) {
    (void)state;
    rubato_error error;
    mapped_file file;
    assert_int_equal(file_map(&file, "/no/such/file", &error), RUBATO_NOT_FOUND);
    assert_int_equal(file_map(&file, "/tmp", &error), RUBATO_IO);
    float data[6] = {1, 2, 3, 4, 5, 6};
    assert_int_equal(rubato_npy_write("/dev/full/x.npy", data, 2, 3, &error), RUBATO_IO);
    assert_int_equal(rubato_npy_write("/tmp/rubato-test.npy", data, 2, 3, &error), RUBATO_OK);
    assert_int_equal(file_map(&file, "/tmp/rubato-test.npy", &error), RUBATO_OK);
    assert_int_equal(file.size, 128 + sizeof data);
    assert_memory_equal(file.data + 128, data, sizeof data);
    file_unmap(&file);
    remove("/tmp/rubato-test.npy");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_safetensors),    cmocka_unit_test(test_numbers),
                                       cmocka_unit_test(test_datasets),       cmocka_unit_test(test_metrics),
                                       cmocka_unit_test(test_quota),          cmocka_unit_test(test_files),
                                       cmocka_unit_test(test_several_labels), cmocka_unit_test(test_parts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
