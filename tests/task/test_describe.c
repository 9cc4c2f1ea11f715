/* A folder described without its weights says and tokenises what the loaded model does. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rubato.h"

static const char *const families[] = {"albert", "bert",         "distilbert", "electra",     "funnel",
                                       "mpnet",  "funnel-plain", "roberta",    "xlm-roberta", "funnel-whole"};
static const char *const described_files[] = {"config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt",
                                              "modules.json"};

/* A folder with links to a family's files, its weights not among them. */
static void link_files(const char *family, char *folder) {
    char from[512], to[512];
    strcpy(folder, "/tmp/rubato-describe-XXXXXX");
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < sizeof described_files / sizeof *described_files; i++) {
        snprintf(from, sizeof from, GOLDEN "/%s/%s", family, described_files[i]);
        snprintf(to, sizeof to, "%s/%s", folder, described_files[i]);
        if (access(from, R_OK) == 0) assert_int_equal(symlink(from, to), 0);
    }
}

static void remove_files(const char *folder) {
    char path[512];
    for (size_t i = 0; i < sizeof described_files / sizeof *described_files; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, described_files[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

static void compare(const rubato_model *described, const rubato_model *loaded) {
    const rubato_info *a = rubato_model_info(described), *b = rubato_model_info(loaded);
    assert_string_equal(a->family, b->family);
    assert_int_equal(a->task, b->task);
    assert_true(a->hidden == b->hidden && a->heads == b->heads && a->inner == b->inner);
    if (!strstr(a->family, "funnel")) assert_int_equal(a->layers, b->layers); /* weights say whether it has a decoder */
    assert_true(a->vocabulary == b->vocabulary && a->max_length == b->max_length && a->width == b->width);
    assert_string_equal(a->pooling, b->pooling);
    assert_true(a->normalized == b->normalized && a->multi_label == b->multi_label);
    assert_int_equal(a->label_count, b->label_count);
    for (size_t i = 0; i < a->label_count; i++) assert_string_equal(a->labels[i], b->labels[i]);
    assert_int_equal(a->parameters, 0);
    assert_null(a->precision);
    rubato_input input = {.text = "Hello, world! foo"};
    rubato_encoding *x, *y;
    assert_int_equal(rubato_encode(described, &input, NULL, &x, NULL), RUBATO_OK);
    assert_int_equal(rubato_encode(loaded, &input, NULL, &y, NULL), RUBATO_OK);
    assert_int_equal(x->windows[0].length, y->windows[0].length);
    assert_memory_equal(x->windows[0].ids, y->windows[0].ids, x->windows[0].length * sizeof *x->windows[0].ids);
    rubato_encoding_destroy(x);
    rubato_encoding_destroy(y);
}

static void test_families(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        char folder[64], path[512];
        rubato_model *described, *loaded;
        rubato_error error;
        link_files(families[i], folder);
        if (rubato_model_describe(&described, folder, &error) != RUBATO_OK) fail_msg("%s", error.message);
        snprintf(path, sizeof path, GOLDEN "/%s", families[i]);
        if (rubato_model_load(&loaded, path, &error) != RUBATO_OK) fail_msg("%s", error.message);
        compare(described, loaded);
        rubato_context *context;
        assert_int_equal(rubato_context_create(&context, described, NULL, &error), RUBATO_BAD_ARGUMENT);
        assert_non_null(strstr(error.message, "without weights"));
        assert_int_equal(rubato_point_count(described), 0);
        rubato_model_destroy(described);
        rubato_model_destroy(loaded);
        assert_int_not_equal(rubato_model_load(&loaded, folder, &error), RUBATO_OK); /* which reads weights */
        remove_files(folder);
    }
}

static void write_file(const char *folder, const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* A sentence-transformers folder whose vectors go through a dense module: its weights are not read either. */
static void test_sentence_folder(void **state) {
    (void)state;
    static const char *const inner[] = {"1_Pooling", "2_Dense", "3_Normalize"};
    char folder[64], path[512];
    rubato_model *model;
    rubato_error error;
    link_files("bert", folder);
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, inner[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    write_file(folder, "modules.json",
               "[{\"type\": \"sentence_transformers.models.Transformer\", \"path\": \"\"},"
               "{\"type\": \"sentence_transformers.models.Pooling\", \"path\": \"1_Pooling\"},"
               "{\"type\": \"sentence_transformers.models.Dense\", \"path\": \"2_Dense\"},"
               "{\"type\": \"sentence_transformers.models.Normalize\", \"path\": \"3_Normalize\"}]");
    write_file(folder, "1_Pooling/config.json",
               "{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": false}");
    write_file(folder, "2_Dense/config.json", "{\"in_features\": 24, \"out_features\": 7}");
    write_file(folder, "config_sentence_transformers.json", "{\"prompts\": {\"query\": \"q: \"}}");
    if (rubato_model_describe(&model, folder, &error) != RUBATO_OK) fail_msg("%s", error.message);
    const rubato_info *info = rubato_model_info(model);
    assert_int_equal(info->width, 7);
    assert_string_equal(info->pooling, "cls");
    assert_int_equal(info->normalized, 1);
    assert_int_equal(info->prompt_count, 1);
    assert_string_equal(info->prompts[0], "q: ");
    rubato_model_destroy(model);
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s/config.json", folder, inner[i]);
        unlink(path);
        snprintf(path, sizeof path, "%s/%s", folder, inner[i]);
        assert_int_equal(rmdir(path), 0);
    }
    snprintf(path, sizeof path, "%s/config_sentence_transformers.json", folder);
    unlink(path);
    remove_files(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_families), cmocka_unit_test(test_sentence_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
