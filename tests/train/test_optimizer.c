/* Groups of parameters, and sparse gradients: a step changes what dense AdamW changes, to the bit, and looks only at
 * the rows that it must. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/random.h"
#include "train/optimizer.h"

enum { CHUNK = 1 << 15, STEPS = 6, TOUCHED = 40 };

/* A model of one table, and further floats in a group of their own. */
typedef struct bed {
    rubato_model model;
    binding bound;
    table rows;
    float *source;
    parameters params;
    team *crew;
    const kernel_table *kernels;
    uint64_t state;
} bed;

static void open_bed(bed *b, size_t rows, size_t width, size_t threads) {
    rubato_error error = {0};
    *b = (bed){.kernels = kernel_table_best(), .state = 5};
    assert_int_equal(team_create(&b->crew, threads, &error), RUBATO_OK);
    b->source = malloc(rows * width * sizeof *b->source);
    for (size_t i = 0; i < rows * width; i++) b->source[i] = (float)random_normal(&b->state);
    b->rows = (table){.type = DTYPE_F32, .data = (unsigned char *)b->source, .rows = rows, .width = width};
    b->bound = (binding){.kind = BOUND_TABLE, .place = IN_BODY, .table = &b->rows};
    b->model.bound = (bindings){.items = &b->bound, .count = 1};
    assert_int_equal(parameters_create(&b->params, &b->model, PRECISION_F32, b->crew, b->kernels, &error), RUBATO_OK);
}

static void close_bed(bed *b) {
    parameters_destroy(&b->params);
    team_destroy(b->crew);
    free(b->source);
}

static step_rule plain_rule(void) {
    return (step_rule){.rate = 1e-2, .clip = 1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .schedule = rate_linear};
}

/* Adds to the gradient of some rows, the last among them. */
static void touch_rows(bed *b) {
    table_learning *learn = b->rows.learn;
    for (size_t i = 0; i < TOUCHED; i++) {
        size_t row = i ? random_below(&b->state, b->rows.rows) : b->rows.rows - 1;
        table_touch(learn, row);
        for (size_t j = 0; j < b->rows.width; j++)
            learn->rows[row * b->rows.width + j] += (float)random_normal(&b->state);
    }
}

static gradient_norms norms_of(bed *b) {
    gradient_norms norms;
    rubato_error error = {0};
    assert_int_equal(parameters_gather(&b->params, NULL, &error), RUBATO_OK);
    assert_int_equal(parameters_norms(&b->params, &norms, b->crew, b->kernels, &error), RUBATO_OK);
    assert_true(norms.finite);
    return norms;
}

/* ---- Groups ---- */

static double half(size_t step, size_t steps, double warm_up) {
    (void)step;
    (void)steps;
    (void)warm_up;
    return 0.5;
}

/* How far each of two groups moves in a first step, whose gradients are `size` everywhere in the second. */
static void move(const parameter_group *how, float size, const step_rule *rule, double moved[2],
                 gradient_norms *norms) {
    enum { COUNT = 100 };
    bed b;
    size_t group[2], index[2];
    rubato_error error = {0};
    open_bed(&b, 4, 16, 1);
    for (size_t i = 0; i < 2; i++) {
        const parameter_group none = {.name = "plain"};
        assert_int_equal(parameters_add_group(&b.params, i ? how : &none, &group[i], &error), RUBATO_OK);
        assert_int_equal(parameters_add(&b.params, COUNT, group[i], &index[i], &error), RUBATO_OK);
    }
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < COUNT; j++) {
            parameter *p = &b.params.items[index[i]];
            p->decays = true;
            p->value[j] = 1;
            p->gradient[j] = i ? size : 1;
        }
    *norms = norms_of(&b);
    parameters_step(&b.params, rule, norms, 0, 10, b.crew, b.kernels);
    for (size_t i = 0; i < 2; i++) {
        const parameter *p = &b.params.items[index[i]];
        moved[i] = 1 - (double)p->value[COUNT - 1];
        for (size_t j = 0; j < COUNT; j++) assert_true(p->gradient[j] == 0);
    }
    close_bed(&b);
}

static void test_groups(void **state) {
    step_rule rule = plain_rule();
    gradient_norms norms;
    double moved[2];
    (void)state;
    move(&(parameter_group){.name = "same"}, 1, &rule, moved, &norms);
    assert_true(fabs(moved[0] - 1e-2) < 1e-6 && moved[1] == moved[0]);
    assert_true(fabs(norms.whole - sqrt(200)) < 1e-6);
    move(&(parameter_group){.name = "frozen", .frozen = true}, 7, &rule, moved, &norms);
    assert_true(fabs(moved[0] - 1e-2) < 1e-6 && moved[1] == 0 && fabs(norms.whole - 10) < 1e-6);
    move(&(parameter_group){.name = "fast", .rate = 3e-2}, 1, &rule, moved, &norms);
    assert_true(fabs(moved[0] - 1e-2) < 1e-6 && fabs(moved[1] - 3e-2) < 1e-6);
    move(&(parameter_group){.name = "steady", .schedule = half}, 1, &rule, moved, &norms);
    assert_true(fabs(moved[0] - 1e-2) < 1e-6 && fabs(moved[1] - 5e-3) < 1e-6);
    move(&(parameter_group){.name = "decays", .decay = 0.5}, 1, &rule, moved, &norms);
    assert_true(fabs(moved[0] - 1e-2) < 1e-6 && fabs(moved[1] - 1.5e-2) < 1e-6);
    rule.decay = 0.5;
    move(&(parameter_group){.name = "keeps", .decay = -1}, 1, &rule, moved, &norms);
    assert_true(fabs(moved[0] - 1.5e-2) < 1e-6 && fabs(moved[1] - 1e-2) < 1e-6);
    move(&(parameter_group){.name = "apart", .clip = 2}, 1000, &rule, moved, &norms);
    assert_true(fabs(norms.whole - 10) < 1e-6 && fabs(norms.own[OWN_GROUPS + 1] - 1e4) < 1e-2);
}

/* Adam's first step hides how gradients were cut; its moments do not. */
static void test_own_clip(void **state) {
    bed b;
    size_t group, index;
    rubato_error error = {0};
    step_rule rule = plain_rule();
    (void)state;
    open_bed(&b, 4, 16, 1);
    const parameter_group apart = {.name = "apart", .clip = 2};
    assert_int_equal(parameters_add_group(&b.params, &apart, &group, &error), RUBATO_OK);
    assert_int_equal(parameters_add(&b.params, 1, group, &index, &error), RUBATO_OK);
    b.params.items[index].gradient[0] = 8;
    table_touch(b.rows.learn, 2);
    b.rows.learn->rows[2 * 16] = 0.5f; /* shorter than what all are cut to */
    gradient_norms norms = norms_of(&b);
    parameters_step(&b.params, &rule, &norms, 0, 10, b.crew, b.kernels);
    assert_true(fabs((double)b.params.items[index].m[0] - 0.2) < 1e-6);
    assert_true(fabs((double)b.params.items[0].m[2 * 16] - 0.05) < 1e-6);
    close_bed(&b);
}

/* ---- Sparse gradients ---- */

/* A dense copy of the table's parameter. */
typedef struct dense {
    float *value, *gradient, *m, *v;
} dense;

static float *copy(const float *from, size_t count) {
    float *made = malloc(count * sizeof *made);
    memcpy(made, from, count * sizeof *made);
    return made;
}

static void run_against_dense(size_t rows, size_t width, double decay, bool lazy, size_t threads) {
    bed b;
    open_bed(&b, rows, width, threads);
    parameter *p = &b.params.items[0];
    b.params.groups[GROUP_BODY].lazy = lazy;
    dense d = {copy(p->value, p->count), NULL, copy(p->m, p->count), copy(p->v, p->count)};
    step_rule rule = plain_rule();
    rule.decay = decay;
    for (size_t number = 0; number < STEPS; number++) {
        touch_rows(&b);
        gradient_norms norms = norms_of(&b);
        double sum = 0;
        for (size_t first = 0; first < p->count; first += CHUNK)
            sum += b.kernels->gradient->squares(p->gradient + first, size_min(CHUNK, p->count - first));
        double length = sqrt(sum);
        assert_true(norms.whole == length);
        d.gradient = copy(p->gradient, p->count);
        bool *mine = calloc(rows, sizeof *mine);
        for (size_t i = 0; i < b.rows.learn->touched_count; i++) mine[b.rows.learn->touched[i]] = true;
        adam_step step = {.rate = (float)(rule.rate * rate_linear(number, STEPS, 0)),
                          .decay = (float)decay,
                          .beta1 = 0.9f,
                          .beta2 = 0.999f,
                          .epsilon = 1e-8f,
                          .correction1 = (float)(1 - pow(0.9, (double)(number + 1))),
                          .correction2 = (float)sqrt(1 - pow(0.999, (double)(number + 1))),
                          .gradient_scale = (float)(length > 1 ? 1 / (length + 1e-6) : 1)};
        for (size_t row = 0; row < rows; row++) {
            size_t at = row * width;
            if (!lazy || mine[row])
                b.kernels->gradient->adam(d.value + at, d.gradient + at, d.m + at, d.v + at, width, &step);
        }
        parameters_step(&b.params, &rule, &norms, number, STEPS, b.crew, b.kernels);
        assert_memory_equal(p->value, d.value, p->count * sizeof(float));
        assert_memory_equal(p->m, d.m, p->count * sizeof(float));
        assert_memory_equal(p->v, d.v, p->count * sizeof(float));
        size_t left = 0;
        for (size_t i = 0; i < p->count; i++) left += p->gradient[i] != 0;
        assert_int_equal(left, 0);
        assert_int_equal(b.rows.learn->touched_count, 0);
        if (number == STEPS / 2) parameters_find_moving(&b.params); /* as after a checkpoint */
        free(d.gradient);
        free(mine);
    }
    free(d.value);
    free(d.m);
    free(d.v);
    close_bed(&b);
}

static void test_sparse_is_dense(void **state) {
    static const size_t shapes[][2] = {{60, 9},  {61, 15},   {53, 23},   {4998, 23},
                                       {50, 24}, {3000, 32}, {7, 40000}, {20000, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int how = 0; how < 4; how++)
            run_against_dense(shapes[i][0], shapes[i][1], how & 1 ? 0.1 : 0, how & 2, i % 2 ? 1 : 3);
}

/* What a step asks of the kernels. */
static size_t stepped, squared;

static void counting_adam(float *value, float *gradient, float *m, float *v, size_t count, const adam_step *step) {
    stepped += count;
    kernel_table_best()->gradient->adam(value, gradient, m, v, count, step);
}

static double counting_squares(const float *values, size_t count) {
    squared += count;
    return kernel_table_best()->gradient->squares(values, count);
}

/* Floats that the kernels see in some steps, when the same number of rows is touched. What no step touches is not a
 * number, so that a look at it would show. */
static size_t cost_of(size_t rows, bool lazy, double decay) {
    bed b;
    open_bed(&b, rows, 16, 1);
    gradient_kernels gradient = *b.kernels->gradient;
    gradient.adam = counting_adam;
    gradient.squares = counting_squares;
    kernel_table counting = *b.kernels;
    counting.gradient = &gradient;
    b.kernels = &counting;
    b.params.groups[GROUP_BODY].lazy = lazy;
    parameter *p = &b.params.items[0];
    for (size_t i = 0; i < p->count; i++) p->gradient[i] = p->m[i] = NAN;
    step_rule rule = plain_rule();
    rule.decay = decay;
    stepped = squared = 0;
    for (size_t number = 0; number < STEPS; number++) {
        for (size_t i = 0; i < TOUCHED; i++) {
            size_t row = (rows - 1) / TOUCHED * ((i + number) % TOUCHED) + number % 2;
            table_touch(b.rows.learn, row);
            for (size_t at = row * 16; at < (row + 1) * 16; at++) {
                p->gradient[at] = 1;
                if (isnan(p->m[at])) p->m[at] = 0;
            }
        }
        gradient_norms norms = norms_of(&b);
        parameters_step(&b.params, &rule, &norms, number, STEPS, b.crew, b.kernels);
    }
    size_t seen = 0;
    for (size_t i = 0; i < p->count; i++) seen += isnan(p->m[i]) ? 0 : 1;
    assert_int_equal(seen, 2 * TOUCHED * 16);
    close_bed(&b);
    return stepped + squared;
}

static void test_cost(void **state) {
    (void)state;
    assert_int_equal(cost_of(200, true, 0.1), STEPS * TOUCHED * 16);
    assert_int_equal(cost_of(200000, true, 0.1), STEPS * TOUCHED * 16);
    assert_int_equal(cost_of(200000, false, 0), cost_of(200, false, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_groups), cmocka_unit_test(test_own_clip),
                                       cmocka_unit_test(test_sparse_is_dense), cmocka_unit_test(test_cost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
