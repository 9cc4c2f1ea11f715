/* Layers of their own numbers of heads and neurons, as a pruned model has them: loading, results, gradients, costs,
 * files. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>

#include "attention/attending.h"
#include "elastic/cost_model.h"
#include "feeding/feeding.h"
#include "made_model.h"
#include "model/encoder.h"
#include "task/save.h"

static const size_t whole_heads[LAYERS] = {HEADS, HEADS}, whole_inner[LAYERS] = {INNER, INNER};
static const size_t own_heads[LAYERS] = {3, 2}, own_inner[LAYERS] = {96, 32};

#define WIDTHS "\"layer_widths\": {\"heads\": [3, 2], \"inner\": [96, 32]}, "

/* The first heads and neurons of `whole`; there the others become 0, which is what leaving them out means. */
static made_model prune(made_model *whole) {
    made_model m = draw_model(own_heads, own_inner);
    for (size_t i = 0; i < m.count; i++) {
        stored *to = &m.tensors[i], *from = &whole->tensors[i];
        assert_string_equal(to->name, from->name);
        for (size_t r = 0; r < (to->rows ? to->rows : 1); r++) {
            memcpy(to->values + r * to->columns, from->values + r * from->columns, to->columns * sizeof *to->values);
            for (size_t c = to->columns; to->rows == from->rows && to->rows && c < from->columns; c++)
                from->values[r * from->columns + c] = 0;
        }
    }
    return m;
}

static float *outputs(bed *b, const words *w) {
    run on = run_of(b, false);
    encoded out;
    float *made = malloc(MOST_ROWS * HIDDEN * sizeof *made);
    assert_int_equal(encoder_forward(&b->model->body, &on, &w->packed, NULL, &out), RUBATO_OK);
    for (size_t r = 0; r < MOST_ROWS; r++) memcpy(made + r * HIDDEN, tensor_row(out.rows, r), HIDDEN * sizeof *made);
    arena_reset(&b->memory);
    return made;
}

static void check_sizes(const bed *b) {
    const encoder *body = &b->model->body;
    double n = 100, want = 0;
    for (size_t i = 0; i < LAYERS; i++) {
        double width = (double)(own_heads[i] * SIZE), inner = (double)own_inner[i];
        assert_int_equal(body->layers[i].heads, own_heads[i]);
        assert_int_equal(body->layers[i].head_size, SIZE);
        assert_int_equal(body->layers[i].inner, own_inner[i]);
        want += 8 * n * HIDDEN * width + 4 * n * n * width + 4 * n * HIDDEN * inner;
    }
    assert_true(fabs(point_flops(NULL, &body->shape, 100, NULL) - want) < 1e-9 * want);
    /* times of layers are in proportion to their widths, and together those of as many mean layers */
    const cost_curve one = {.count = 1, .ms = {1}};
    cost_model times = {.threads = 1, .batch_rows = 1000, .alone = {.attention = one}};
    point without = point_full(LAYERS);
    without.skip[1] = true;
    assert_true(fabs(cost_model_ms(&times, NULL, &body->shape, 100, 1) - LAYERS) < 1e-12);
    assert_true(fabs(cost_model_ms(&times, &without, &body->shape, 100, 1) - 3 / 2.5) < 1e-12);
    times.alone = (cost_parts){.forward = one};
    assert_true(fabs(cost_model_ms(&times, NULL, &body->shape, 100, 1) - LAYERS) < 1e-12);
    assert_true(fabs(cost_model_ms(&times, &without, &body->shape, 100, 1) - 96 / 64.0) < 1e-12);
}

static void check_config(const char *folder) {
    char path[128];
    json_t *config;
    snprintf(path, sizeof path, "%s/config.json", folder);
    assert_int_equal(json_read_file(&config, path, 1 << 20, NULL), RUBATO_OK);
    const json_t *widths = json_object_get(config, "layer_widths");
    assert_string_equal(json_string_value(json_object_get(config, "model_type")), "rubato-bert");
    for (size_t i = 0; i < LAYERS; i++) {
        json_int_t heads = json_integer_value(json_array_get(json_object_get(widths, "heads"), i));
        json_int_t inner = json_integer_value(json_array_get(json_object_get(widths, "inner"), i));
        assert_true(heads == (json_int_t)own_heads[i] && inner == (json_int_t)own_inner[i]);
    }
    json_decref(config);
}

static void test_results(void **state) {
    static words w;
    uint64_t seed = 31;
    bed b;
    char folder[80];
    (void)state;
    made_model whole = draw_model(whole_heads, whole_inner), own = prune(&whole);
    write_model(&whole, "");
    write_model(&own, WIDTHS);
    draw_words(&w, &seed);
    open_bed(&b, whole.folder, NULL, 1);
    float *want = outputs(&b, &w);
    close_bed(&b);
    open_bed(&b, own.folder, NULL, 2);
    float *got = outputs(&b, &w);
    for (size_t i = 0; i < MOST_ROWS * HIDDEN; i++)
        if (!(fabs((double)got[i] - (double)want[i]) < 1e-4))
            fail_msg("[%zu] is %g, should be %g", i, (double)got[i], (double)want[i]);
    check_sizes(&b);
    snprintf(folder, sizeof folder, "%s/saved", own.folder);
    assert_int_equal(model_save(b.model, folder, (storage){DTYPE_F32, DTYPE_F32}, NULL, NULL), RUBATO_OK);
    close_bed(&b);
    check_config(folder);
    open_bed(&b, folder, NULL, 1);
    float *again = outputs(&b, &w);
    assert_memory_equal(again, got, MOST_ROWS * HIDDEN * sizeof *got);
    check_sizes(&b);
    close_bed(&b);
    free(want);
    free(got);
    free(again);
    remove_model(&whole);
    remove_model(&own);
}

typedef struct summing {
    const words *of;
    const point *at;
} summing;

static double evaluate(bed *b, const void *user, bool backward) {
    const summing *sum = user;
    const thinning how = {.point = sum->at};
    encoded out;
    b->recording = (tape){.key = 5, .hidden_rate = 0.1f, .attention_rate = 0.25f};
    run on = run_of(b, true);
    assert_int_equal(encoder_forward(&b->model->body, &on, &sum->of->packed, &how, &out), RUBATO_OK);
    double value = weigh(out.rows, sum->of->weights);
    if (backward) tape_backward(&on);
    arena_reset(&b->memory);
    return value;
}

static void test_gradients(void **state) {
    static words w;
    uint64_t seed = 32;
    bed b;
    point at = point_full(LAYERS);
    (void)state;
    made_model own = draw_model(own_heads, own_inner);
    write_model(&own, WIDTHS);
    draw_words(&w, &seed);
    open_bed(&b, own.folder, NULL, 2);
    check_directions(&b, evaluate, &(summing){&w, &at}, "uneven");
    /* three heads of 16 features do not end with a panel, so no part of them is a view */
    assert_int_equal(encoder_allow_narrow(&b.model->body, &b.model->packed, NULL), RUBATO_UNSUPPORTED);
    close_bed(&b);
    remove_model(&own);
    own = draw_model((const size_t[LAYERS]){2, 4}, own_inner);
    write_model(&own, "\"layer_widths\": {\"heads\": [2, 4], \"inner\": [96, 32]}, ");
    open_bed(&b, own.folder, NULL, 2);
    assert_int_equal(encoder_allow_narrow(&b.model->body, &b.model->packed, NULL), RUBATO_OK);
    at.heads[0] = at.heads[1] = at.neurons[0] = 0.5f; /* of the layer's own */
    check_directions(&b, evaluate, &(summing){&w, &at}, "uneven, first heads and neurons");
    close_bed(&b);
    remove_model(&own);
}

/* Layers that are taken out of a model keep their widths. */
static void test_taken(void **state) {
    static const size_t taken[] = {1, 1};
    rubato_model *model;
    rubato_error error = {0};
    (void)state;
    made_model own = draw_model(own_heads, own_inner);
    write_model(&own, WIDTHS);
    const learning learn = {.task = RUBATO_TASK_EMBEDDING, .seed = 1, .layers = taken, .layer_count = 2};
    if (model_load(&model, own.folder, NULL, &learn, &error) != RUBATO_OK) fail_msg("%s", error.message);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(model->body.layers[i].heads, own_heads[1]);
        assert_int_equal(model->body.layers[i].inner, own_inner[1]);
        assert_int_equal(model->body.config.widths[i].heads, own_heads[1]);
    }
    rubato_model_destroy(model);
    remove_model(&own);
}

static void test_bad_widths(void **state) {
    static const char *const bad[] = {"{\"heads\": [3]}",
                                      "{\"heads\": [3, 2, 1]}",
                                      "{\"heads\": [3, 0]}",
                                      "{\"heads\": [3, -1]}",
                                      "{\"heads\": 3}",
                                      "{\"heads\": [3, \"2\"]}",
                                      "{\"heads\": [3, 9223372036854775807]}",
                                      "{\"inner\": [96, 4294967328]}",
                                      "[3, 2]",
                                      "null",
                                      "{\"heads\": [3, 3], \"inner\": [96, 32]}"}; /* not what the file has */
    (void)state;
    made_model own = draw_model(own_heads, own_inner);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char parts[128];
        rubato_model *model;
        rubato_error error = {0};
        snprintf(parts, sizeof parts, "\"layer_widths\": %s, ", bad[i]);
        write_model(&own, parts);
        if (rubato_model_load(&model, own.folder, &error) != RUBATO_BAD_MODEL)
            fail_msg("%s: %s", bad[i], error.message);
    }
    remove_model(&own);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_results), cmocka_unit_test(test_gradients),
                                       cmocka_unit_test(test_taken), cmocka_unit_test(test_bad_widths)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
