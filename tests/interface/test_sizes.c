/* Options structs of callers that were compiled with another header. */
#include <cmocka_compat.h>
#include <string.h>

#include "rubato.h"

/* What the next version might have. */
typedef struct newer_options {
    rubato_context_options known;
    const char *fresh;
} newer_options;

/* A struct without padding at its end: a field that a later version adds there cannot be mistaken for padding, whose
 * bytes callers leave as they are. */
#define NO_TAIL(type, last)                                                                                            \
    _Static_assert(offsetof(type, last) + sizeof((type){0}.last) == sizeof(type), #type " ends with padding")

NO_TAIL(rubato_load_options, cancelled_user);
NO_TAIL(rubato_context_options, isa);
NO_TAIL(rubato_text_options, reserved);
NO_TAIL(rubato_options, reserved);
NO_TAIL(rubato_zero_shot_options, multi_label);
NO_TAIL(rubato_passage_options, late);
NO_TAIL(rubato_generate_options, user);
NO_TAIL(rubato_eval_options, run);
NO_TAIL(rubato_train_options, pool_attention);
NO_TAIL(rubato_memory_options, progress_user);
NO_TAIL(rubato_trim_options, embedding);
NO_TAIL(rubato_convert_options, reserved);
NO_TAIL(rubato_quantize_options, reserved);
NO_TAIL(rubato_search_options, unlabelled);
NO_TAIL(rubato_adapt_options, precision);
NO_TAIL(rubato_calibrate_options, progress_user);
NO_TAIL(rubato_pull_options, progress_user);

static rubato_model *model;

static rubato_status create(const void *options, size_t *threads, rubato_error *error) {
    rubato_context *context;
    rubato_status status = rubato_context_create(&context, model, options, error);
    if (status == RUBATO_OK)
        *threads = rubato_context_threads(context);
    else
        assert_null(context);
    rubato_context_destroy(context);
    return status;
}

static void test_sizes(void **state) {
    (void)state;
    rubato_error error;
    size_t threads;
    rubato_context_options now = {.size = sizeof now, .threads = 3, .isa = "scalar"};
    assert_int_equal(create(&now, &threads, &error), RUBATO_OK);
    assert_int_equal(threads, 3);
    /* an older header knew the first option alone: what lies behind it is not read */
    rubato_context_options old = {.size = offsetof(rubato_context_options, batch_tokens), .threads = 2, .isa = "none"};
    assert_int_equal(create(&old, &threads, &error), RUBATO_OK);
    assert_int_equal(threads, 2);
    newer_options newer = {.known = {.size = sizeof newer, .threads = 2}};
    assert_int_equal(create(&newer, &threads, &error), RUBATO_OK);
    newer.fresh = "set";
    assert_int_equal(create(&newer, &threads, &error), RUBATO_UNSUPPORTED);
    assert_non_null(strstr(error.message, "older than the header"));
}

static void test_bad_sizes(void **state) {
    (void)state;
    static const size_t bad[] = {
        0, 1, sizeof(size_t) - 1, sizeof(rubato_context_options) - 1, (size_t)-1, (size_t) - (long)sizeof(size_t)};
    rubato_error error;
    size_t threads;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rubato_context_options options = {.size = bad[i]};
        assert_int_equal(create(&options, &threads, &error), RUBATO_BAD_ARGUMENT);
        assert_non_null(strstr(error.message, "sizeof(rubato_context_options)"));
    }
    assert_int_equal(create(NULL, &threads, &error), RUBATO_OK);
}

/* Every function that takes options asks for their size, also of the structs within. */
static void test_everywhere(void **state) {
    (void)state;
    rubato_error error;
    rubato_context *context;
    rubato_model *other;
    rubato_encoding *encoding;
    rubato_train_result *trained;
    rubato_trim_result *trimmed;
    rubato_convert_result *converted;
    rubato_quantize_result *quantized;
    rubato_search_result *searched;
    rubato_evaluation *evaluated;
    rubato_calibration *calibration;
    rubato_costs *costs;
    char *path;
    float out[1024];
    rubato_input input = {.text = "a"};
    assert_int_equal(rubato_context_create(&context, model, NULL, &error), RUBATO_OK);
    const rubato_load_options load = {0};
    assert_int_equal(rubato_model_load_with(&other, GOLDEN "/bert", &load, &error), RUBATO_BAD_ARGUMENT);
    const rubato_text_options text = {0};
    assert_int_equal(rubato_encode(model, &input, &text, &encoding, &error), RUBATO_BAD_ARGUMENT);
    assert_null(encoding);
    rubato_options run = {0};
    assert_int_equal(rubato_embed(context, out, &input, 1, &run, &costs, &error), RUBATO_BAD_ARGUMENT);
    assert_null(costs);
    run = (rubato_options){.size = sizeof run, .text = &text};
    assert_int_equal(rubato_embed(context, out, &input, 1, &run, &costs, &error), RUBATO_BAD_ARGUMENT);
    assert_non_null(strstr(error.message, "rubato_text_options"));
    const rubato_eval_options eval = {0};
    assert_int_equal(rubato_evaluate(context, &eval, &evaluated, &error), RUBATO_BAD_ARGUMENT);
    assert_null(evaluated);
    const rubato_train_options train = {0};
    assert_int_equal(rubato_train(&train, &trained, &error), RUBATO_BAD_ARGUMENT);
    const rubato_trim_options trim = {0};
    assert_int_equal(rubato_trim(&trim, &trimmed, &error), RUBATO_BAD_ARGUMENT);
    const rubato_convert_options convert = {0};
    assert_int_equal(rubato_convert(&convert, &converted, &error), RUBATO_BAD_ARGUMENT);
    const rubato_quantize_options quantize = {0};
    assert_int_equal(rubato_quantize(&quantize, &quantized, &error), RUBATO_BAD_ARGUMENT);
    const rubato_search_options search = {0};
    assert_int_equal(rubato_search(&search, &searched, &error), RUBATO_BAD_ARGUMENT);
    const rubato_calibrate_options calibrate = {0};
    assert_int_equal(rubato_calibrate(context, &calibrate, &calibration, &error), RUBATO_BAD_ARGUMENT);
    const rubato_pull_options pull = {0};
    assert_int_equal(rubato_pull("org/name", &pull, &path, &error), RUBATO_BAD_ARGUMENT);
    assert_non_null(strstr(error.message, "rubato_pull_options"));
    rubato_context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes), cmocka_unit_test(test_bad_sizes),
                                       cmocka_unit_test(test_everywhere)};
    if (rubato_model_load(&model, GOLDEN "/bert", NULL) != RUBATO_OK) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rubato_model_destroy(model);
    return failed;
}
