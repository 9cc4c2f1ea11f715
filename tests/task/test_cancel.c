/* Loading and calibrating are left soon after the caller asks for it; a prompt is found by its name. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <stdlib.h>
#include <string.h>

#include "rubato.h"

/* Says no to the first questions, then yes. */
typedef struct patience {
    size_t asked, most;
} patience;

static int has_enough(void *user) {
    patience *self = user;
    return self->asked++ >= self->most;
}

static int has_seen_enough(void *user, size_t done, size_t total) {
    assert_true(done <= total);
    return has_enough(user);
}

static rubato_status load(patience *asked, int in_memory, rubato_model **model, rubato_error *error) {
    rubato_load_options options = {
        .size = sizeof options, .in_memory = in_memory, .cancelled = has_enough, .cancelled_user = asked};
    return rubato_model_load_with(model, GOLDEN "/bert", &options, error);
}

/* However often the caller is asked, the answer counts. */
static void test_loading(void **state) {
    (void)state;
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        rubato_model *model;
        rubato_error error;
        patience all = {.most = SIZE_MAX};
        assert_int_equal(load(&all, in_memory, &model, &error), RUBATO_OK);
        rubato_model_destroy(model);
        assert_true(all.asked > 20); /* for each tensor */
        for (size_t most = 0; most < all.asked; most++) {
            patience some = {.most = most};
            assert_int_equal(load(&some, in_memory, &model, &error), RUBATO_CANCELLED);
            assert_null(model);
            assert_int_equal(some.asked, most + 1); /* and it is not asked again */
        }
    }
}

/* Within a measurement too: the caller is asked far more often than there are measurements. */
static void test_calibrating(void **state) {
    (void)state;
    rubato_model *model;
    rubato_context *context;
    rubato_calibration *calibration;
    rubato_error error;
    rubato_context_options threads = {.size = sizeof threads, .threads = 2, .isa = "scalar"};
    assert_int_equal(rubato_model_load(&model, GOLDEN "/bert", &error), RUBATO_OK);
    assert_int_equal(rubato_context_create(&context, model, &threads, &error), RUBATO_OK);
    for (size_t most = 0; most < 2000; most = 2 * most + 1) {
        patience some = {.most = most};
        rubato_calibrate_options options = {
            .size = sizeof options, .progress = has_seen_enough, .progress_user = &some};
        assert_int_equal(rubato_calibrate(context, &options, &calibration, &error), RUBATO_CANCELLED);
        assert_null(calibration);
        assert_true(some.asked <= most + 4);
    }
    rubato_context_destroy(context);
    rubato_model_destroy(model);
}

static void test_prompts(void **state) {
    (void)state;
    rubato_model *model;
    rubato_error error;
    const char *text = "";
    assert_int_equal(rubato_model_load(&model, GOLDEN "/bert", &error), RUBATO_OK);
    assert_int_equal(rubato_prompt(model, "query", &text, &error), RUBATO_BAD_ARGUMENT);
    assert_null(text);
    assert_non_null(strstr(error.message, "has none"));
    assert_int_equal(rubato_model_info(model)->ranks, 1);
    assert_null(rubato_model_info(model)->default_prompt);
    rubato_model_destroy(model);
}

int main(void) {
    setenv("XDG_CACHE_HOME", "/nowhere", 1); /* nothing is kept */
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_loading), cmocka_unit_test(test_calibrating),
                                       cmocka_unit_test(test_prompts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
