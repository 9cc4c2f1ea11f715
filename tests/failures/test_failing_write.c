/* Every allocation of what writes files fails once: trimming, quantising, searching, vocabularies, .npy. */
#include <stdlib.h>
#include <string.h>

#include "failures/writing.h"

static const char classes[] = "text\tlabel\na b\tno\nc d e\tyes\nf g\tyes\nh\tno\ni j k l\tyes\nm n\tno\n";

/* ---- Calls ---- */

static rubato_status trim(void *user, digest *out, rubato_error *error) {
    const writing *w = user;
    const rubato_trim_options options = {.size = sizeof options,
                                         .model = w->model,
                                         .out = w->out,
                                         .layers = "0,2",
                                         .vocabulary = 50,
                                         .data = w->data,
                                         .positions = 12,
                                         .overwrite = 1};
    rubato_trim_result *result;
    TRY(rubato_trim(&options, &result, error));
    digest_add(out, result, sizeof *result);
    rubato_free(result);
    return RUBATO_OK;
}

static rubato_status quantize(void *user, digest *out, rubato_error *error) {
    const writing *w = user;
    const rubato_quantize_options options = {.size = sizeof options,
                                             .model = w->model,
                                             .out = w->out,
                                             .to = w->to,
                                             .task = w->task,
                                             .data = w->data,
                                             .smooth = w->task && strcmp(w->to, "int8") == 0 ? 0.5 : 0,
                                             .threads = 1,
                                             .overwrite = 1};
    rubato_quantize_result *result;
    TRY(rubato_quantize(&options, &result, error));
    digest_add(out, &result->bytes_after, sizeof result->bytes_after);
    digest_add(out, &result->after, w->task ? sizeof result->after : 0);
    rubato_free(result);
    return RUBATO_OK;
}

static rubato_status convert(void *user, digest *out, rubato_error *error) {
    const writing *w = user;
    const rubato_convert_options options = {.size = sizeof options,
                                            .model = w->model,
                                            .out = w->out,
                                            .memory = w->to,
                                            .layers = strcmp(w->to, "none") == 0 ? NULL : "0,2",
                                            .overwrite = 1};
    rubato_convert_result *result;
    TRY(rubato_convert(&options, &result, error));
    digest_add(out, &result->parameters, sizeof result->parameters);
    digest_text(out, result->feed_forward);
    rubato_free(result);
    return RUBATO_OK;
}

static rubato_status npy(void *user, digest *out, rubato_error *error) {
    static const float numbers[] = {1, 2, 3, 4, 5, 6};
    const writing *w = user;
    char path[160];
    (void)out;
    TRY(folder_create(w->out, error));
    snprintf(path, sizeof path, "%s/a.npy", w->out);
    return rubato_npy_write(path, numbers, 2, 3, error);
}

static rubato_status search(void *user, digest *out, rubato_error *error) {
    const writing *w = user;
    const rubato_search_options options = {.size = sizeof options,
                                           .model = w->model,
                                           .task = "classification",
                                           .data = w->data,
                                           .out = w->out,
                                           .iterations = 1,
                                           .mutations = 2,
                                           .crossovers = 1,
                                           .threads = 1,
                                           .resume = w->resume};
    rubato_search_result *result;
    TRY(rubato_search(&options, &result, error));
    digest_add(out, &result->points, sizeof result->points);
    digest_add(out, &result->full_quality, sizeof result->full_quality);
    rubato_free(result);
    return RUBATO_OK;
}

static rubato_status vocabulary(void *user, digest *out, rubato_error *error) {
    const writing *w = user;
    const rubato_vocabulary_options options = {.size = sizeof options,
                                               .texts = &w->data,
                                               .text_count = 1,
                                               .out = w->out,
                                               .kind = w->to,
                                               .tokens = 290,
                                               .min_count = strcmp(w->to, "unigram") != 0,
                                               .overwrite = 1};
    rubato_vocabulary_result *result;
    TRY(rubato_train_vocabulary(&options, &result, error));
    digest_add(out, result, sizeof *result);
    rubato_free(result);
    return RUBATO_OK;
}

static rubato_status augment(void *user, digest *out, rubato_error *error) {
    const writing *w = user;
    char file[300];
    snprintf(file, sizeof file, "%s/more.tsv", w->out);
    const rubato_augment_options options = {.size = sizeof options,
                                            .model = w->model,
                                            .data = w->data,
                                            .out = file,
                                            .copies = 2,
                                            .threads = 1,
                                            .overwrite = 1};
    rubato_augment_result *result;
    TRY(rubato_augment(&options, &result, error));
    digest_add(out, result, sizeof *result);
    rubato_free(result);
    return RUBATO_OK;
}

/* ---- Tests ---- */

static void test_npy(void **state) {
    (void)state;
    writing w = {0};
    fail_writing(&w, "npy_write", npy, 300);
}

static void test_trim(void **state) {
    (void)state;
    const char *folder = failing_folder();
    make_model(folder, "bert", "BertModel", 0);
    file_write(folder, "tokenizer_config.json",
               "{\"model_max_length\": 100, \"added_tokens_decoder\": {\"0\": {\"content\": \"[PAD]\"}}}");
    file_write(folder, "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n");
    writing w = {.model = folder, .data = write_data(failing_folder(), "data.tsv", classes)};
    fail_writing(&w, "trim", trim, 100);
    w.old = old_folder();
    fail_writing(&w, "trim over an older folder", trim, 20);
}

static void test_quantize(void **state) {
    (void)state;
    writing w = {.model = GOLDEN "/bert", .to = "int8"};
    fail_writing(&w, "quantize int8", quantize, 100);
    const char *folder = failing_folder();
    make_model(folder, "bert", "BertForSequenceClassification", 3);
    file_write(folder, "rubato.json",
               "{\"significance\": \"received\", \"metric\": \"accuracy\", \"points\": [{\"name\": "
               "\"half\", \"quality\": 0.9, \"flops_ratio\": 0.5, \"ms\": 1, \"keep\": [0.5, 0.4, "
               "0.3]}]}");
    w = (writing){.model = folder,
                  .old = old_folder(),
                  .to = "int8",
                  .task = "classification",
                  .data = write_data(failing_folder(), "data.tsv", "text\tlabel\na b\t0\nc d e\t1\nf\t2\n")};
    fail_writing(&w, "quantize int8, judged and smoothed", quantize, 20);
    w.to = "bf16";
    fail_writing(&w, "quantize bf16, judged", quantize, 20);
}

static void test_convert(void **state) {
    (void)state;
    writing w = {.model = GOLDEN "/bert", .to = "res,slots=16,heads=2,query=4,gated=true"};
    fail_writing(&w, "convert to memories", convert, 60);
    w = (writing){.model = GOLDEN "/memory/res", .old = old_folder(), .to = "none"};
    fail_writing(&w, "convert from memories", convert, 20);
}

static void test_search(void **state) {
    (void)state;
    const char *folder = failing_folder();
    make_model(folder, "bert", "BertForSequenceClassification", 3);
    writing w = {.model = folder,
                 .piecewise = true,
                 .timed = true,
                 .data = write_data(failing_folder(), "data.tsv", "text\tlabel\na b\t0\nc d e\t1\nf\t2\ng h\t0\n")};
    fail_writing(&w, "search", search, 20);
    /* a log from which it goes on */
    const char *old = failing_folder();
    digest result = {0};
    rubato_error error;
    w.out = old;
    if (search(&w, &result, &error) != RUBATO_OK) fail_msg("%s", error.message);
    w.old = old;
    w.resume = true;
    fail_writing(&w, "search, resumed", search, 20);
}

static void test_vocabulary(void **state) {
    (void)state;
    writing w = {.to = "wordpiece", .data = write_data(failing_folder(), "text.txt", "a cat sat\non a mat\n")};
    fail_writing(&w, "vocabulary of word pieces", vocabulary, 60);
    w.to = "bpe";
    w.old = old_folder();
    fail_writing(&w, "vocabulary of bytes over an older folder", vocabulary, 20);
    w.to = "unigram";
    fail_writing(&w, "vocabulary of scored pieces", vocabulary, 60);
}

static void test_augment(void **state) {
    (void)state;
    const char *folder = failing_folder();
    make_model(folder, "bert", "BertForMaskedLM", 0);
    writing w = {.model = folder,
                 .old = old_folder(),
                 .data = write_data(failing_folder(), "data.tsv", "text\tlabel\na bc\tx\nde f\ty\n")};
    fail_writing(&w, "augment", augment, 60);
}

int main(int count, char **arguments) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_npy),      cmocka_unit_test(test_trim),
                                       cmocka_unit_test(test_quantize), cmocka_unit_test(test_convert),
                                       cmocka_unit_test(test_search),   cmocka_unit_test(test_vocabulary),
                                       cmocka_unit_test(test_augment)};
    return failing_main(count, arguments, tests, sizeof tests / sizeof *tests);
}
