/* What mechanisms that the library does not know (window_attention.c, glu_feeding.c) bring with them: refusals,
 * costs, what files and descriptions say of it, and a buffer. And what holds for all: linear layers are visited in the
 * order of loading. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>

#include "attention/attending.h"
#include "bound.h"
#include "made_model.h"
#include "model/encoder.h"
#include "store/part.h"
#include "task/save.h"
#include "tensor/state.h"
#include "train/observed.h"
#include "window_attention.h"

#define WINDOW "\"attention\": {\"mechanism\": \"window\", \"window\": 16}, "
#define SLOPED "\"attention\": {\"mechanism\": \"window\", \"window\": 16, \"sloped\": true}, "

/* ---- Refusals ---- */

static void refused(const encoder *body, const thinning *how, const char *lacks) {
    rubato_error error = {0};
    assert_int_equal(encoder_check(body, how, &error), RUBATO_UNSUPPORTED);
    if (!strstr(error.message, lacks) || !strstr(error.message, "window"))
        fail_msg("\"%s\" does not say \"%s\"", error.message, lacks);
}

static void test_refusals(void **state) {
    bed b;
    rubato_error error = {0};
    static words w;
    uint64_t seed = 1;
    (void)state;
    made_model m = make_model(WINDOW);
    open_bed(&b, m.folder, NULL, 1);
    encoder *body = &b.model->body;
    point full = point_full(LAYERS), short_one = full, merging_one = full, narrow = full, by_token = full;
    short_one.keep[1] = 0.5f;
    merging_one.merge[1] = true;
    narrow.heads[0] = 0.5f;
    by_token.exit.by_token = true;
    thinning how = {.point = &short_one, .by = SIGNIFICANCE_RECEIVED};
    refused(body, &how, "received");
    how.by = SIGNIFICANCE_OTHERS;
    refused(body, &how, "received");
    how.by = SIGNIFICANCE_FIRST;
    assert_int_equal(encoder_check(body, &how, NULL), RUBATO_OK);
    /* whoever does not look before gets the status, and no rows of made-up scores */
    how.by = SIGNIFICANCE_RECEIVED;
    draw_words(&w, &seed);
    run on = run_of(&b, false);
    encoded out;
    assert_int_equal(encoder_forward(body, &on, &w.packed, &how, &out), RUBATO_UNSUPPORTED);
    assert_int_equal(b.status, RUBATO_UNSUPPORTED);
    how.point = &merging_one;
    assert_int_equal(encoder_check(body, &how, NULL), RUBATO_OK);
    /* one that can do less */
    attending less = attending_window;
    less.fewer_queries = less.narrows = false;
    for (size_t i = 0; i < LAYERS; i++) body->layers[i].attending = &less;
    refused(body, &how, "fewer queries");
    refused(body, &(thinning){.point = &by_token}, "fewer queries");
    refused(body, &(thinning){.depart_rows = true}, "fewer queries");
    refused(body, &(thinning){.point = &narrow}, "heads");
    assert_int_equal(encoder_check(body, &(thinning){.point = &full}, NULL), RUBATO_OK);
    assert_int_equal(encoder_allow_narrow(body, &b.model->packed, &error), RUBATO_UNSUPPORTED);
    assert_non_null(strstr(error.message, "window"));
    close_bed(&b);
    remove_model(&m);
}

/* ---- Costs ---- */

static void test_costs(void **state) {
    bed b;
    (void)state;
    made_model m = make_model(WINDOW);
    open_bed(&b, m.folder, NULL, 1);
    const encoder_shape *shape = &b.model->body.shape;
    double d = HIDDEN, f = INNER;
    for (size_t length = 1; length <= LONGEST; length += 7) {
        double n = (double)length, seen = fmin(n, 33);
        double want = LAYERS * (n * 8 * d * d + n * 4 * d * f + n * 4 * seen * d);
        assert_true(fabs(point_flops(NULL, shape, length, NULL) - want) < 1e-9 * want);
        attending_demand made =
            attending_window.demand(b.model->body.layers[0].attention, b.context->kernels, 3, length);
        assert_true(fabs(made.flops - 3 * n * 4 * seen * d) < 1e-9 * made.flops);
    }
    /* half of the heads and half of the rows as queries */
    point at = point_full(LAYERS);
    at.heads[0] = 0.5f;
    at.merge[1] = true;
    double n = 100, q = (double)merged_rows(&shape->merging, 100),
           first = 4 * n * d * d + 4 * n * d * f + n * 4 * 33 * d / 2;
    double second = 4 * n * d * d + 4 * q * d * d + 4 * q * d * f + q * 4 * 33 * d;
    assert_true(fabs(point_flops(&at, shape, 100, NULL) - first - second) < 1e-9 * (first + second));
    close_bed(&b);
    remove_model(&m);
}

/* ---- Files ---- */

static float *outputs(bed *b, const words *w) {
    run on = run_of(b, false);
    encoded out;
    float *made = malloc(MOST_ROWS * HIDDEN * sizeof *made);
    assert_int_equal(encoder_forward(&b->model->body, &on, &w->packed, NULL, &out), RUBATO_OK);
    for (size_t r = 0; r < MOST_ROWS; r++) memcpy(made + r * HIDDEN, tensor_row(out.rows, r), HIDDEN * sizeof *made);
    arena_reset(&b->memory);
    return made;
}

static void check_config(const char *folder) {
    char path[128];
    json_t *config;
    snprintf(path, sizeof path, "%s/config.json", folder);
    assert_int_equal(json_read_file(&config, path, 1 << 20, NULL), RUBATO_OK);
    const json_t *part = json_object_get(config, "attention");
    /* a type that transformers does not have, so that it does not load the weights as softmax attention */
    assert_string_equal(json_string_value(json_object_get(config, "model_type")), "rubato-bert");
    assert_string_equal(json_string_value(json_object_get(part, "mechanism")), "window");
    assert_int_equal(json_integer_value(json_object_get(part, "window")), 16);
    assert_true(json_is_true(json_object_get(part, "sloped")));
    assert_null(json_object_get(config, "feed_forward"));
    json_decref(config);
}

static void check_buffer(const bed *b, const made_model *m) {
    for (size_t i = 0; i < LAYERS; i++) {
        char name[96];
        float values[HEADS];
        snprintf(name, sizeof name, "encoder.layer.%zu.attention.self.slopes", i);
        const binding *bound = bound_named(b->model, name);
        assert_non_null(bound);
        assert_int_equal(bound->kind, BOUND_BUFFER);
        assert_null(bound->table->learn);
        table_read(bound->table, 0, 1, values);
        assert_memory_equal(values, stored_named(m, "encoder.layer.%zu.attention.self.slopes", i), sizeof values);
    }
}

/* Saved and loaded twice, each time the same bits. The buffer goes with the model and does not learn. */
static void test_saving(void **state) {
    static words w;
    uint64_t seed = 2;
    bed b;
    char folder[2][80];
    rubato_error error = {0};
    (void)state;
    made_model m = make_model(SLOPED), flat = make_model(WINDOW);
    draw_words(&w, &seed);
    open_bed(&b, m.folder, NULL, 1);
    float *first = outputs(&b, &w);
    for (int time = 0; time < 2; time++) {
        check_buffer(&b, &m);
        snprintf(folder[time], sizeof folder[time], "%s/%d", m.folder, time);
        if (model_save(b.model, folder[time], (storage){DTYPE_F32, DTYPE_F32}, NULL, &error) != RUBATO_OK)
            fail_msg("%s", error.message);
        check_config(folder[time]);
        close_bed(&b);
        open_bed(&b, folder[time], NULL, 1);
        float *again = outputs(&b, &w);
        assert_memory_equal(again, first, MOST_ROWS * HIDDEN * sizeof *first);
        free(again);
    }
    close_bed(&b);
    /* and the buffer matters */
    open_bed(&b, flat.folder, NULL, 1);
    float *other = outputs(&b, &w);
    assert_true(memcmp(other, first, MOST_ROWS * HIDDEN * sizeof *first) != 0);
    close_bed(&b);
    free(first);
    free(other);
    remove_model(&m);
    remove_model(&flat);
}

static void test_descriptions(void **state) {
    rubato_model *model;
    (void)state;
    made_model m = make_model(SLOPED), plain = make_model("");
    made_model both = make_model(WINDOW "\"feed_forward\": {\"mechanism\": \"glu\"}, ");
    assert_int_equal(rubato_model_load(&model, m.folder, NULL), RUBATO_OK);
    assert_string_equal(rubato_model_info(model)->attention, "window (16 rows, sloped)");
    assert_string_equal(rubato_model_info(model)->family, "bert");
    assert_null(rubato_model_info(model)->feed_forward);
    rubato_model_destroy(model);
    assert_int_equal(rubato_model_describe(&model, m.folder, NULL), RUBATO_OK);
    assert_string_equal(rubato_model_info(model)->attention, "window (16 rows, sloped)");
    rubato_model_destroy(model);
    assert_int_equal(rubato_model_load(&model, plain.folder, NULL), RUBATO_OK);
    assert_null(rubato_model_info(model)->attention);
    rubato_model_destroy(model);
    assert_int_equal(rubato_model_load(&model, both.folder, NULL), RUBATO_OK);
    assert_string_equal(rubato_model_info(model)->attention, "window (16 rows)");
    assert_string_equal(rubato_model_info(model)->feed_forward, "glu");
    rubato_model_destroy(model);
    remove_model(&m);
    remove_model(&plain);
    remove_model(&both);
}

static void test_bad_settings(void **state) {
    static const struct {
        const char *parts, *says;
        rubato_status status;
    } bad[] = {
        {"\"attention\": {\"mechanism\": \"other\"}, ", "known are softmax, image, longformer", RUBATO_UNSUPPORTED},
        {"\"feed_forward\": {\"mechanism\": \"other\"}, ", "dense", RUBATO_UNSUPPORTED},
        {"\"attention\": {\"mechanism\": \"window\"}, ", "0 rows", RUBATO_BAD_MODEL},
        {SLOPED "\"layer_widths\": {\"heads\": [4, 2]}, ", "cannot differ", RUBATO_UNSUPPORTED},
        {"\"attention\": {\"mechanism\": 3}, ", "mechanism", RUBATO_BAD_MODEL},
        {"\"attention\": {\"mechanism\": \"window\", \"window\": -1}, ", "window", RUBATO_BAD_MODEL}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rubato_model *model;
        rubato_error error = {0};
        made_model m = make_model(bad[i].parts);
        rubato_status status = rubato_model_load(&model, m.folder, &error);
        if (status != bad[i].status || !strstr(error.message, bad[i].says))
            fail_msg("%s: status %d, \"%s\"", bad[i].parts, (int)status, error.message);
        remove_model(&m);
    }
}

/* A head that a checkpoint lacks is made for learning; a part of a layer is not. */
static void test_missing_weights(void **state) {
    static const char *const missing[] = {
        "encoder.layer.1.attention.self.query.weight", "encoder.layer.0.attention.output.dense.weight",
        "encoder.layer.1.intermediate.gate.weight", "encoder.layer.0.output.LayerNorm.weight"};
    const learning learn = {.task = RUBATO_TASK_EMBEDDING, .seed = 1};
    (void)state;
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        rubato_model *model;
        rubato_error error = {0};
        made_model m = draw_model((const size_t[LAYERS]){HEADS, HEADS}, (const size_t[LAYERS]){INNER, INNER});
        for (size_t j = 0; j < m.count; j++)
            if (strcmp(m.tensors[j].name, missing[i]) == 0) snprintf(m.tensors[j].name, sizeof m.tensors[j].name, "x");
        write_model(&m, "\"feed_forward\": {\"mechanism\": \"glu\"}, ");
        if (model_load(&model, m.folder, NULL, &learn, &error) != RUBATO_BAD_MODEL ||
            !strstr(error.message, missing[i]))
            fail_msg("%s: \"%s\"", missing[i], error.message);
        remove_model(&m);
    }
}

/* ---- State between segments ---- */

static size_t layers_found; /* that found what they kept in the segment before, to the bit */
static const observed *before;

/* A window that looks at the rows which the segment before had, and keeps its own. */
static void remember(const void *weights, const run *on, const attending_input *in, tensor out) {
    kept_rows kept = run_kept(on, in->layer);
    const observation *same = before ? observed_find(before, WATCH_STATE, in->layer) : NULL;
    bool equal = kept.rows.data && same && kept.rows.rows == same->rows.rows && kept.sequences == SEQUENCES;
    for (size_t r = 0; equal && r < kept.rows.rows; r++)
        equal = memcmp(tensor_row(kept.rows, r), tensor_row(same->rows, r), HIDDEN * sizeof(float)) == 0;
    layers_found += equal;
    if (!before) assert_null(kept.rows.data);
    run_keep(on, in->layer, in->x, in->sequences.start, in->sequences.sequences);
    attending_window.forward(weights, on, in, out);
}

static void test_segments(void **state) {
    static words w[2];
    uint64_t seed = 41;
    bed b;
    run_state *kept;
    observed first = {0}, second = {0};
    encoded out;
    (void)state;
    made_model m = make_model(WINDOW);
    attending remembering = attending_window;
    remembering.forward = remember;
    open_bed(&b, m.folder, NULL, 1);
    for (size_t i = 0; i < LAYERS; i++) b.model->body.layers[i].attending = &remembering;
    draw_words(&w[0], &seed);
    draw_words(&w[1], &seed);
    assert_int_equal(run_state_create(&kept, LAYERS, NULL), RUBATO_OK);
    run on = run_of(&b, false);
    on.state = kept;
    layers_found = 0;
    before = NULL;
    observe_forward(&b.model->body, &on, NULL, &w[0].packed, NULL, WATCH_STATE, &first, &out);
    before = &first;
    observe_forward(&b.model->body, &on, NULL, &w[1].packed, NULL, WATCH_STATE, &second, &out);
    assert_int_equal(b.status, RUBATO_OK);
    assert_int_equal(layers_found, LAYERS);
    /* a text's first segment again */
    run_state_clear(kept);
    before = NULL;
    observe_forward(&b.model->body, &on, NULL, &w[1].packed, NULL, WATCH_STATE, &second, &out);
    assert_int_equal(layers_found, LAYERS);
    run_state_destroy(kept);
    close_bed(&b);
    remove_model(&m);
}

/* ---- The order of visiting ---- */

typedef struct visited {
    const linear *list[256];
    size_t count;
} visited;

static void note_linear(void *user, linear *of, const linear_role *role) {
    visited *all = user;
    (void)role;
    all->list[all->count++] = of;
}

/* Smoothing hands its factors to linear layers in the order of loading, and measured them in the order of visiting. */
static void check_order(const char *folder) {
    rubato_model *model;
    rubato_error error = {0};
    visited all = {0};
    size_t found = 0;
    const learning learn = {.task = RUBATO_TASK_EMBEDDING, .seed = 1};
    if (model_load(&model, folder, NULL, &learn, &error) != RUBATO_OK) fail_msg("%s: %s", folder, error.message);
    encoder_visit(&model->body, note_linear, &all);
    for (size_t i = 0; i < model->bound.count; i++) {
        const binding *b = &model->bound.items[i];
        if (found < all.count && b->kind == BOUND_WEIGHT && b->linear == all.list[found]) found++;
    }
    if (found < all.count || all.count < 4 * model->body.unique)
        fail_msg("%s: %zu of %zu linear layers are visited in the order of loading", folder, found, all.count);
    rubato_model_destroy(model);
}

static void test_order(void **state) {
    static const char *const families[] = {"albert",       "bert",         "distilbert", "electra", "funnel",
                                           "funnel-plain", "funnel-whole", "mpnet",      "roberta", "xlm-roberta"};
    (void)state;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        char folder[512];
        snprintf(folder, sizeof folder, "%s/%s", GOLDEN, families[i]);
        check_order(folder);
    }
    made_model m = make_model(SLOPED);
    check_order(m.folder);
    remove_model(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refusals),     cmocka_unit_test(test_costs),
                                       cmocka_unit_test(test_saving),       cmocka_unit_test(test_descriptions),
                                       cmocka_unit_test(test_bad_settings), cmocka_unit_test(test_missing_weights),
                                       cmocka_unit_test(test_segments),     cmocka_unit_test(test_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
