/* A loaded model shared by many threads, each with its own context: the answers of one thread alone. Also memory that
 * is given back, and cancelling. Run under the thread sanitizer as well. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/threads.h"
#include "rubato.h"

enum { THREADS = 4, TEXTS = 40, ROUNDS = 6, WIDTH = 24 };

static char texts[TEXTS][64];
static rubato_input inputs[TEXTS];
static float expected[TEXTS * WIDTH];

static rubato_model *load(void) {
    rubato_model *model;
    rubato_error error;
    if (rubato_model_load(&model, GOLDEN "/bert", &error) != RUBATO_OK) fail_msg("%s", error.message);
    for (size_t i = 0; i < TEXTS; i++) {
        size_t at = 0;
        for (size_t w = 0; w < 1 + i % 12; w++)
            at += (size_t)snprintf(texts[i] + at, 64 - at, "%c ", (int)('a' + (i * w) % 26));
        inputs[i] = (rubato_input){.text = texts[i]};
    }
    return model;
}

static void *run(void *argument) {
    rubato_context *context;
    rubato_context_options options = {.size = sizeof options, .threads = 2, .batch_tokens = 32};
    float *out = malloc(sizeof expected);
    size_t *bad = calloc(1, sizeof *bad);
    if (rubato_context_create(&context, argument, &options, NULL) != RUBATO_OK) *bad = 1;
    for (size_t round = 0; round < ROUNDS && !*bad; round++) {
        *bad += rubato_embed(context, out, inputs, TEXTS, NULL, NULL, NULL) != RUBATO_OK;
        *bad += memcmp(out, expected, sizeof expected) != 0;
    }
    rubato_context_destroy(context);
    free(out);
    return bad;
}

static void test_shared_model(void **state) {
    (void)state;
    rubato_model *model = load();
    rubato_context *context;
    rubato_context_options options = {.size = sizeof options, .threads = 1};
    assert_int_equal(rubato_context_create(&context, model, &options, NULL), RUBATO_OK);
    assert_int_equal(rubato_embed(context, expected, inputs, TEXTS, NULL, NULL, NULL), RUBATO_OK);
    rubato_context_destroy(context);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, run, model), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *bad;
        pthread_join(threads[i], &bad);
        assert_int_equal(*(size_t *)bad, 0);
        free(bad);
    }
    rubato_model_destroy(model);
}

typedef struct shared_calibration {
    rubato_model *model;
    rubato_calibration *calibration;
    double ms;
} shared_calibration;

/* A context of this thread's own with the shared calibration. */
static void *predict(void *argument) {
    shared_calibration *mine = argument;
    rubato_context *context;
    rubato_context_options options = {.size = sizeof options, .threads = 1};
    if (rubato_context_create(&context, mine->model, &options, NULL) != RUBATO_OK) return NULL;
    for (size_t i = 0; i < 100; i++) {
        if (rubato_context_set_calibration(context, mine->calibration, NULL) != RUBATO_OK) break;
        mine->ms = rubato_predict_ms(context, NULL, 12, 3);
    }
    rubato_context_destroy(context);
    return NULL;
}

static int nothing(void *user, size_t done, size_t total) {
    (void)user;
    (void)done;
    (void)total;
    return 0;
}

static int at_once(void *user, size_t done, size_t total) {
    (void)user;
    (void)done;
    (void)total;
    return 1;
}

static void test_calibration(void **state) {
    (void)state;
    char cache[] = "/tmp/rubato-cache-XXXXXX", command[64];
    rubato_model *model = load();
    rubato_context *context, *wider;
    rubato_error error;
    rubato_calibration *made, *loaded;
    rubato_context_options options = {.size = sizeof options, .threads = 1};
    assert_non_null(mkdtemp(cache));
    assert_int_equal(setenv("XDG_CACHE_HOME", cache, 1), 0);
    assert_int_equal(rubato_context_create(&context, model, &options, NULL), RUBATO_OK);
    assert_int_equal(rubato_calibration_load(context, &loaded, &error), RUBATO_NOT_FOUND);
    assert_null(loaded);
    rubato_calibrate_options measuring = {.size = sizeof measuring, .progress = at_once};
    assert_int_equal(rubato_calibrate(context, &measuring, &made, &error), RUBATO_CANCELLED);
    assert_null(made);
    measuring.progress = nothing;
    assert_int_equal(rubato_calibrate(context, &measuring, &made, &error), RUBATO_OK);
    assert_true(isnan(rubato_predict_ms(context, NULL, 12, 3))); /* it was given to the caller alone */
    assert_int_equal(rubato_calibration_load(context, &loaded, &error), RUBATO_OK);
    rubato_calibration_destroy(loaded);
    options.threads = 2;
    assert_int_equal(rubato_context_create(&wider, model, &options, NULL), RUBATO_OK);
    assert_int_equal(rubato_context_set_calibration(wider, made, &error), RUBATO_BAD_ARGUMENT);
    rubato_context_destroy(wider);
    assert_int_equal(rubato_context_set_calibration(context, made, &error), RUBATO_OK);
    double ms = rubato_predict_ms(context, NULL, 12, 3);
    assert_true(ms > 0);
    pthread_t threads[2];
    shared_calibration shared[2] = {{model, made, 0}, {model, made, 0}};
    for (size_t i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, predict, &shared[i]), 0);
    for (size_t i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    assert_true(shared[0].ms == ms && shared[1].ms == ms);
    rubato_calibration_destroy(made); /* the context has it still */
    assert_true(rubato_predict_ms(context, NULL, 12, 3) == ms);
    assert_int_equal(rubato_context_set_calibration(context, NULL, &error), RUBATO_OK);
    assert_true(isnan(rubato_predict_ms(context, NULL, 12, 3)));
    rubato_context_destroy(context);
    rubato_model_destroy(model);
    snprintf(command, sizeof command, "rm -r %s", cache);
    assert_int_equal(system(command), 0);
}

static int stop(void *user, size_t done, size_t total) {
    *(size_t *)user = done;
    assert_true(done <= total);
    return 1;
}

static void test_cancel(void **state) {
    (void)state;
    rubato_model *model = load();
    rubato_context *context;
    rubato_error error;
    size_t done = 0;
    rubato_context_options options = {.size = sizeof options, .threads = 1, .batch_tokens = 32};
    rubato_options running = {.size = sizeof running, .progress = stop, .progress_user = &done};
    assert_int_equal(rubato_context_create(&context, model, &options, NULL), RUBATO_OK);
    assert_int_equal(rubato_embed(context, expected, inputs, TEXTS, &running, NULL, &error), RUBATO_CANCELLED);
    assert_true(done > 0 && done < TEXTS);
    assert_int_equal(rubato_embed(context, expected, inputs, 0, NULL, NULL, &error), RUBATO_OK);
    rubato_context_destroy(context);
    rubato_model_destroy(model);
}

static void add_members(void *argument, size_t member, size_t members) {
    size_t first, last;
    team_share(1000, 7, member, members, &first, &last);
    for (size_t i = first; i < last; i++) ((unsigned char *)argument)[i]++;
}

static void test_team(void **state) {
    (void)state;
    team *crew;
    rubato_error error;
    assert_int_equal(team_create(&crew, 0, &error), RUBATO_BAD_ARGUMENT);
    for (size_t members = 1; members < 6; members++) {
        unsigned char seen[1000] = {0};
        assert_int_equal(team_create(&crew, members, &error), RUBATO_OK);
        for (size_t round = 0; round < 50; round++) team_run(crew, add_members, seen);
        for (size_t i = 0; i < 1000; i++) assert_int_equal(seen[i], 50);
        team_destroy(crew);
    }
}

static void test_arena(void **state) {
    (void)state;
    arena a;
    arena_create(&a, 200000, 65536);
    arena_mark mark = arena_save(&a);
    void *first = arena_take(&a, 100);
    assert_int_equal((uintptr_t)first % ARENA_ALIGNMENT, 0);
    arena_rewind(&a, mark);
    assert_ptr_equal(arena_take(&a, 50), first);
    assert_non_null(arena_take(&a, 10000000)); /* more than is kept */
    arena_reset(&a);
    assert_ptr_equal(arena_take(&a, 1), first);
    assert_null(arena_take_array(&a, SIZE_MAX / 2, 4));
    arena_destroy(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shared_model), cmocka_unit_test(test_calibration),
                                       cmocka_unit_test(test_cancel), cmocka_unit_test(test_team),
                                       cmocka_unit_test(test_arena)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
