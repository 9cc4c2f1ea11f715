/* Every allocation of loading and describing models fails once. */
#include <stdlib.h>
#include <string.h>

#include "failures/failing.h"
#include "task/load.h"

typedef struct loading_call {
    const char *folder, *precision;
    bool describe;
} loading_call;

static void digest_info(digest *out, const rubato_model *model) {
    const rubato_info *info = rubato_model_info(model);
    const size_t sizes[] = {info->layers,      info->hidden,       info->heads,         info->inner,
                            info->vocabulary,  info->parameters,   info->max_length,    info->width,
                            info->label_count, info->prompt_count, info->warning_count, rubato_point_count(model)};
    digest_add(out, sizes, sizeof sizes);
    digest_text(out, info->family);
    digest_text(out, info->pooling);
    digest_text(out, info->precision);
    for (size_t i = 0; i < info->label_count; i++) digest_text(out, info->labels[i]);
    for (size_t i = 0; i < info->prompt_count; i++) {
        digest_text(out, info->prompt_names[i]);
        digest_text(out, info->prompts[i]);
    }
    for (size_t i = 0; i < info->warning_count; i++) digest_text(out, info->warnings[i]);
    for (size_t i = 0; i < rubato_point_count(model); i++) {
        const rubato_point *at = rubato_model_point(model, i);
        digest_text(out, at->name);
        digest_add(out, at->keep, info->layers * sizeof *at->keep);
    }
    for (size_t i = 0; i < info->vocabulary; i++) digest_text(out, rubato_token(model, (int32_t)i, NULL));
}

static rubato_status load_once(void *user, digest *out, rubato_error *error) {
    const loading_call *how = user;
    rubato_load_options options = {.size = sizeof options, .precision = how->precision};
    rubato_model *model = NULL;
    rubato_status status = how->describe ? rubato_model_describe(&model, how->folder, error)
                                         : rubato_model_load_with(&model, how->folder, &options, error);
    if (status == RUBATO_OK)
        digest_info(out, model);
    else
        assert_null(model);
    rubato_model_destroy(model);
    return status;
}

static void fail_loading(const char *folder, const char *wanted, bool describe) {
    static size_t exhaustive = 300; /* of the first; others read their JSON in the same way */
    loading_call how = {folder, wanted, describe};
    const char *last = strrchr(folder, '/');
    char name[96];
    snprintf(name, sizeof name, "%s %s %s", describe ? "describe" : "load", last + 1, wanted ? wanted : "");
    fail_allocations(&(attempt){.name = name, .call = load_once, .user = &how, .exhaustive = exhaustive});
    exhaustive = 5;
}

static void test_families(void **state) {
    static const char *const families[] = {"bert",    "roberta", "xlm-roberta", "distilbert",  "mpnet",
                                           "electra", "albert",  "funnel",      "funnel-plain"};
    (void)state;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        char folder[256];
        snprintf(folder, sizeof folder, GOLDEN "/%s", families[i]);
        fail_loading(folder, NULL, false);
    }
}

static void test_precisions(void **state) {
    (void)state;
    fail_loading(GOLDEN "/bert", "int8", false);
    fail_loading(GOLDEN "/bert", "f32+bf16", false);
    fail_loading(GOLDEN "/funnel", "f32+int8", false);
}

static void test_packed(void **state) {
    (void)state;
    const char *folder = failing_folder();
    rubato_quantize_options options = {
        .size = sizeof options, .model = GOLDEN "/bert", .out = folder, .to = "int8", .threads = 1};
    rubato_quantize_result *result;
    rubato_error error;
    if (rubato_quantize(&options, &result, &error) != RUBATO_OK) fail_msg("%s", error.message);
    rubato_free(result);
    fail_loading(folder, NULL, false);
    fail_loading(folder, "f32", false);
}

static void test_heads(void **state) {
    static const char *const heads[] = {"ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering",
                                        "ForMaskedLM"};
    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        const char *folder = failing_folder();
        char name[64];
        snprintf(name, sizeof name, "Bert%s", heads[i]);
        make_model(folder, "bert", name, i < 2 ? 3 : 0);
        fail_loading(folder, NULL, false);
        fail_loading(folder, NULL, true);
    }
}

/* A folder of sentence-transformers with prompts, lengths and modules. */
static void test_sentence(void **state) {
    (void)state;
    const char *folder = failing_folder();
    char path[256];
    make_model(folder, "bert", "BertModel", 0);
    file_write(folder, "modules.json",
               "[{\"type\": \"sentence_transformers.models.Transformer\", \"path\": \"\"},"
               "{\"type\": \"sentence_transformers.models.Pooling\", \"path\": \"1_Pooling\"},"
               "{\"type\": \"sentence_transformers.models.Normalize\", \"path\": \"2_Normalize\"}]");
    file_write(folder, "sentence_bert_config.json", "{\"max_seq_length\": 16, \"do_lower_case\": true}");
    file_write(
        folder, "config_sentence_transformers.json",
        "{\"prompts\": {\"query\": \"query: \", \"passage\": \"passage: \"}, \"default_prompt_name\": \"query\"}");
    snprintf(path, sizeof path, "%s/1_Pooling", folder);
    assert_int_equal(folder_create(path, NULL), RUBATO_OK);
    file_write(path, "config.json", "{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": true}");
    fail_loading(folder, NULL, false);
    fail_loading(folder, NULL, true);
}

/* Points and exits, and something that a loader warns of. */
static void test_points(void **state) {
    (void)state;
    const char *folder = failing_folder();
    make_model(folder, "bert", "BertSomethingElse", 0);
    file_write(folder, "rubato.json",
               "{\"significance\": \"received\", \"metric\": \"accuracy\", \"points\": [{\"name\": \"half\", "
               "\"quality\": 0.9, \"flops_ratio\": 0.5, \"ms\": 1, \"keep\": [0.5, 0.4, 0.3]}, {\"name\": \"more\", "
               "\"quality\": 0.95, \"flops_ratio\": 0.7, \"ms\": 2, \"keep\": [0.8, 0.7, 0.6]}]}");
    fail_loading(folder, NULL, false);
}

int main(int count, char **arguments) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families), cmocka_unit_test(test_precisions), cmocka_unit_test(test_packed),
        cmocka_unit_test(test_heads),    cmocka_unit_test(test_sentence),   cmocka_unit_test(test_points),
    };
    return failing_main(count, arguments, tests, sizeof tests / sizeof *tests);
}
