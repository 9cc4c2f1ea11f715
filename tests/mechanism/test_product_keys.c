/* Memories with product keys: the search against all pairs, worked examples, whole encoders against PyTorch
 * (make_memory_golden.py), and what learning does to them. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "feeding/memory.h"
#include "isas.h"
#include "golden_encoder.h"
#include "store/safetensors.h"
#include "task/memory_use.h"
#include "train/optimizer.h"

static uint64_t drawing = 5;

/* A run of its own, for operations without a model. */
typedef struct bench {
    arena memory;
    rubato_status status;
    tape recording;
    run on;
} bench;

static void open_bench(bench *b, const kernel_table *kernels, bool records) {
    *b = (bench){0};
    arena_create(&b->memory, 1 << 26, 1 << 20);
    b->on =
        (run){.kernels = kernels, .memory = &b->memory, .status = &b->status, .tape = records ? &b->recording : NULL};
}

static tensor filled(const run *on, size_t rows, size_t columns, const float *values) {
    tensor made = run_tensor(on, rows, columns);
    for (size_t i = 0; i < rows; i++) memcpy(tensor_row(made, i), values + i * columns, columns * sizeof *values);
    return made;
}

static memory_choice choice_of(const run *on, size_t rows, size_t heads, size_t selected, size_t side) {
    return (memory_choice){.slots = run_take(on, rows * heads * selected, sizeof(uint32_t)),
                           .weights = run_take(on, rows * heads * selected, sizeof(float)),
                           .rows = rows,
                           .heads = heads,
                           .selected = selected,
                           .side = side};
}

/* ---- The search ---- */

/* Sums of these are exact, so that their order is the same in any arithmetic. */
static float grid(void) {
    return (float)((double)random_below(&drawing, 1 << 10) / 64 - 8);
}

static void test_search(void **unused) {
    enum { MOST = 12 };
    (void)unused;
    for (size_t isa = 0; isa < ISA_COUNT; isa++) {
        const kernel_table *kernels = isa_kernels(isa);
        for (int trial = 0; kernels && trial < 2000; trial++) {
            const size_t side = 1 + random_below(&drawing, MOST), k = 1 + random_below(&drawing, side);
            float first[MOST], second[MOST];
            for (size_t i = 0; i < side; i++) {
                first[i] = trial % 3 ? grid() : (float)random_below(&drawing, 3);
                second[i] = trial % 3 ? grid() : (float)random_below(&drawing, 3);
            }
            bench b;
            open_bench(&b, kernels, false);
            memory_choice choice = choice_of(&b.on, 1, 1, k, side);
            memory_select(&b.on, filled(&b.on, 1, side, first), filled(&b.on, 1, side, second), 0, &choice);
            double sum = 0;
            for (size_t i = 0; i < k; i++) {
                const size_t slot = choice.slots[i];
                const float score = first[slot / side] + second[slot % side];
                size_t before = 0; /* its rank among all pairs: higher scores, and lower slots of equal score */
                for (size_t other = 0; other < side * side; other++) {
                    const float its = first[other / side] + second[other % side];
                    before += its > score || (its == score && other < slot);
                }
                assert_int_equal(before, i);
                sum += (double)choice.weights[i];
            }
            assert_true(fabs(sum - 1) < 1e-6);
            arena_destroy(&b.memory);
        }
    }
}

/* Three by three half keys, worked by hand: slots 1 and 7; slot 2 has the score of slot 7's rank too, and is lower. */
static void test_small_search(void **unused) {
    const float first[] = {3, 1, 2}, second[] = {0.5f, 2, 1};
    bench b;
    (void)unused;
    open_bench(&b, kernel_table_best(), false);
    memory_choice choice = choice_of(&b.on, 1, 1, 2, 3);
    memory_select(&b.on, filled(&b.on, 1, 3, first), filled(&b.on, 1, 3, second), 0, &choice);
    assert_int_equal(choice.slots[0], 1); /* 5 */
    assert_int_equal(choice.slots[1], 2); /* 4, as slot 7 */
    assert_true(fabs((double)choice.weights[0] - 0.731059) < 1e-6 && fabs((double)choice.weights[1] - 0.268941) < 1e-6);
    arena_destroy(&b.memory);
}

/* ---- Sums ---- */

static table table_of(float *values, size_t rows, size_t width) {
    return (table){.type = DTYPE_F32, .data = (unsigned char *)values, .rows = rows, .width = width};
}

typedef struct learner {
    table values;
    table_learning learn;
    float *gradient;
} learner;

static void open_learner(learner *l, float *values, size_t rows, size_t width) {
    *l = (learner){.values = table_of(values, rows, width), .gradient = calloc(rows * width, sizeof(float))};
    l->learn =
        (table_learning){.rows = l->gradient, .touched = calloc(rows, sizeof(uint32_t)), .marks = calloc(rows, 1)};
    l->values.learn = &l->learn;
}

static void close_learner(learner *l) {
    free(l->gradient);
    free(l->learn.touched);
    free(l->learn.marks);
}

static void assert_near(double got, double want) {
    if (!(fabs(got - want) < 2e-6)) fail_msg("%.7g, should be %.7g", got, want);
}

/* Two by two half keys, worked by hand, with the derivatives. */
static void test_small_layer(void **unused) {
    float values[] = {1, 0, 0, 1, 1, 1, 2, 0};
    const float first[] = {1, 0.5f}, second[] = {1, 0}; /* q1 K0, q2 K1 */
    bench b;
    learner l;
    (void)unused;
    open_bench(&b, kernel_table_best(), true);
    open_learner(&l, values, 4, 2);
    tensor s1 = filled(&b.on, 1, 2, first), s2 = filled(&b.on, 1, 2, second), out = run_tensor(&b.on, 1, 2);
    memory_choice choice = choice_of(&b.on, 1, 1, 2, 2);
    memory_select(&b.on, s1, s2, 0, &choice);
    memory_sum(&b.on, out, &l.values, &choice, &s1, &s2);
    assert_int_equal(choice.slots[0], 0);
    assert_int_equal(choice.slots[1], 2);
    assert_near((double)choice.weights[0], 0.622459);
    assert_near((double)out.data[0], 1);
    assert_near((double)out.data[1], 0.377541);
    out.grad[1] = 1;
    tape_backward(&b.on);
    assert_near((double)l.gradient[1], 0.622459);
    assert_near((double)l.gradient[5], 0.377541);
    assert_near((double)l.gradient[3], 0);
    assert_near((double)s1.grad[0], -0.235004);
    assert_near((double)s1.grad[1], 0.235004);
    assert_near((double)s2.grad[0], 0);
    assert_near((double)s2.grad[1], 0);
    assert_int_equal(l.learn.touched_count, 2);
    close_learner(&l);
    arena_destroy(&b.memory);
}

/* Sums and derivatives of many rows and heads against plain loops; two heads that hit one slot count as one hit of
 * their weights' sum; the same bits with any number of threads. */
static void check_sums(const kernel_table *kernels, size_t threads, size_t rows, size_t width, float *result) {
    enum { SLOTS_OF = 49, EACH = 5, HEADS_OF = 3 };
    float values[SLOTS_OF * 40];
    bench b;
    learner l;
    tensor first[HEADS_OF], second[HEADS_OF];
    team *crew;
    assert_int_equal(team_create(&crew, threads, NULL), RUBATO_OK);
    open_bench(&b, kernels, true);
    b.on.crew = crew;
    uint64_t own = 77;
    for (size_t i = 0; i < SLOTS_OF * width; i++) values[i] = (float)random_normal(&own);
    open_learner(&l, values, SLOTS_OF, width);
    memory_choice choice = choice_of(&b.on, rows, HEADS_OF, EACH, 7);
    for (size_t h = 0; h < HEADS_OF; h++) {
        first[h] = run_tensor(&b.on, rows, 7);
        second[h] = run_tensor(&b.on, rows, 7);
        for (size_t i = 0; i < rows * 7; i++) {
            first[h].data[i] = (float)random_normal(&own);
            second[h].data[i] = (float)random_normal(&own);
        }
        memory_select(&b.on, first[h], second[h], h, &choice);
    }
    tensor out = run_tensor(&b.on, rows, width);
    memory_sum(&b.on, out, &l.values, &choice, first, second);
    for (size_t i = 0; i < rows * width; i++) out.grad[i] = (float)random_normal(&own);
    tape_backward(&b.on);
    double wanted[SLOTS_OF * 40] = {0};
    for (size_t row = 0; row < rows; row++) {
        double sums[40] = {0};
        for (size_t h = 0; h < HEADS_OF; h++) {
            const uint32_t *slots = choice.slots + (row * HEADS_OF + h) * EACH;
            const float *weights = choice.weights + (row * HEADS_OF + h) * EACH;
            double slopes[EACH], mean = 0, to[2][7] = {{0}};
            for (size_t i = 0; i < EACH; i++) {
                slopes[i] = 0;
                for (size_t j = 0; j < width; j++) {
                    sums[j] += (double)weights[i] * (double)values[slots[i] * width + j];
                    wanted[slots[i] * width + j] += (double)weights[i] * (double)tensor_grad(out, row)[j];
                    slopes[i] += (double)tensor_grad(out, row)[j] * (double)values[slots[i] * width + j];
                }
                mean += (double)weights[i] * slopes[i];
            }
            for (size_t i = 0; i < EACH; i++) {
                to[0][slots[i] / 7] += (double)weights[i] * (slopes[i] - mean);
                to[1][slots[i] % 7] += (double)weights[i] * (slopes[i] - mean);
            }
            for (size_t i = 0; i < 7; i++) {
                assert_true(fabs((double)tensor_grad(first[h], row)[i] - to[0][i]) < 1e-5);
                assert_true(fabs((double)tensor_grad(second[h], row)[i] - to[1][i]) < 1e-5);
            }
        }
        for (size_t j = 0; j < width; j++) assert_true(fabs((double)tensor_row(out, row)[j] - sums[j]) < 1e-5);
    }
    for (size_t i = 0; i < SLOTS_OF * width; i++) assert_true(fabs((double)l.gradient[i] - wanted[i]) < 1e-4);
    memcpy(result, l.gradient, SLOTS_OF * width * sizeof *result);
    close_learner(&l);
    arena_destroy(&b.memory);
    team_destroy(crew);
}

static void test_sums(void **unused) {
    float alone[49 * 40], together[49 * 40];
    (void)unused;
    for (size_t isa = 0; isa < ISA_COUNT; isa++) {
        const kernel_table *kernels = isa_kernels(isa);
        for (size_t width = 1; kernels && width <= 40; width += 13) {
            check_sums(kernels, 1, 61, width, alone);
            check_sums(kernels, 3, 61, width, together);
            assert_memory_equal(alone, together, 49 * width * sizeof(float));
        }
    }
}

/* Where all values are one vector c, a row's result is c for each head, and keys and queries have no derivative. */
static void test_equal_values(void **unused) {
    float values[16 * 8], scores[2][5 * 4];
    bench b;
    learner l;
    (void)unused;
    open_bench(&b, kernel_table_best(), true);
    for (size_t i = 0; i < 16 * 8; i++) values[i] = (float)(i % 8) / 4 - 1;
    for (size_t i = 0; i < 40; i++) scores[i / 20][i % 20] = (float)random_normal(&drawing);
    open_learner(&l, values, 16, 8);
    tensor s1 = filled(&b.on, 5, 4, scores[0]), s2 = filled(&b.on, 5, 4, scores[1]), out = run_tensor(&b.on, 5, 8);
    memory_choice choice = choice_of(&b.on, 5, 1, 3, 4);
    memory_select(&b.on, s1, s2, 0, &choice);
    memory_sum(&b.on, out, &l.values, &choice, &s1, &s2);
    for (size_t i = 0; i < 40; i++) {
        assert_near((double)out.data[i], (double)values[i % 8]);
        out.grad[i] = (float)random_normal(&drawing);
    }
    tape_backward(&b.on);
    for (size_t i = 0; i < 20; i++) assert_true(fabsf(s1.grad[i]) < 1e-6f && fabsf(s2.grad[i]) < 1e-6f);
    close_learner(&l);
    arena_destroy(&b.memory);
}

/* A number that is added to all scores of a list changes nothing; and with one slot its weight is 1, and keys and
 * queries have no derivative. */
static void test_shift_and_single(void **unused) {
    float values[16 * 8], scores[2][4];
    bench b;
    learner l;
    (void)unused;
    open_bench(&b, kernel_table_best(), true);
    for (size_t i = 0; i < 16 * 8; i++) values[i] = (float)random_normal(&drawing);
    for (size_t i = 0; i < 8; i++) scores[i / 4][i % 4] = grid();
    open_learner(&l, values, 16, 8);
    tensor s1 = filled(&b.on, 1, 4, scores[0]), s2 = filled(&b.on, 1, 4, scores[1]), out = run_tensor(&b.on, 1, 8);
    memory_choice choice = choice_of(&b.on, 1, 1, 3, 4), moved = choice_of(&b.on, 1, 1, 3, 4);
    memory_select(&b.on, s1, s2, 0, &choice);
    for (size_t i = 0; i < 4; i++) scores[0][i] += 16;
    memory_select(&b.on, filled(&b.on, 1, 4, scores[0]), s2, 0, &moved);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(choice.slots[i], moved.slots[i]);
        assert_near((double)choice.weights[i], (double)moved.weights[i]);
    }
    memory_choice one = choice_of(&b.on, 1, 1, 1, 4);
    memory_select(&b.on, s1, s2, 0, &one);
    memory_sum(&b.on, out, &l.values, &one, &s1, &s2);
    assert_true(one.weights[0] == 1 && one.slots[0] == choice.slots[0]);
    for (size_t i = 0; i < 8; i++) {
        assert_true(out.data[i] == values[one.slots[0] * 8 + i]);
        out.grad[i] = 1 + (float)i;
    }
    tape_backward(&b.on);
    for (size_t i = 0; i < 4; i++) assert_true(s1.grad[i] == 0 && s2.grad[i] == 0);
    for (size_t i = 0; i < 16 * 8; i++) assert_true(l.gradient[i] == (i / 8 == one.slots[0] ? 1 + (float)(i % 8) : 0));
    close_learner(&l);
    arena_destroy(&b.memory);
}

/* Figures of distributions of weight over four slots, in sixteenths or tenths. */
static void test_use(void **unused) {
    static const struct {
        unsigned weights[4];
        double used, kl;
        size_t half, most;
    } cases[] = {{{4, 4, 4, 4}, 1, 0, 2, 4},
                 {{5, 5, 0, 0}, 0.5, 0.693147, 1, 2},
                 {{7, 1, 1, 1}, 1, 0.445846, 1, 3},
                 {{0, 0, 3, 0}, 0.25, 1.386294, 1, 1}};
    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t mass[4];
        uint32_t first[4];
        rubato_memory_use use;
        for (size_t j = 0; j < 4; j++) {
            mass[j] = (uint64_t)cases[i].weights[j] << 32;
            first[j] = cases[i].weights[j];
        }
        memory_counts counts = {.layer = 3, .slots = 4, .mass = mass, .first = first};
        assert_int_equal(memory_use_measure(&(memory_use){.memories = &counts, .count = 1}, 0, &use, NULL), RUBATO_OK);
        assert_near(use.used, cases[i].used);
        assert_near(use.used_first, cases[i].used);
        assert_near(use.kl, cases[i].kl);
        assert_near(use.kl_first, cases[i].kl);
        assert_int_equal(use.slots_50, cases[i].half);
        assert_int_equal(use.slots_90, cases[i].most);
        if (i == 0) assert_near(use.gini, -0.25);
    }
}

/* ---- Encoders against PyTorch ---- */

/* An Adam step without rate but for the memory's values, whose rate is their own; then running statistics have moved.
 */
static void compare_moved(bed *b, const tensor_file *file) {
    const step_rule rule = {.rate = 0, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .schedule = rate_constant};
    gradient_norms norms;
    assert_int_equal(parameters_gather(&b->params, NULL, NULL), RUBATO_OK);
    assert_int_equal(parameters_norms(&b->params, &norms, b->context->crew, b->context->kernels, NULL), RUBATO_OK);
    parameters_step(&b->params, &rule, &norms, 0, 1, b->context->crew, b->context->kernels);
    for (size_t i = 0; i < b->model->bound.count; i++) {
        const binding *one = &b->model->bound.items[i];
        char name[300];
        snprintf(name, sizeof name, "moved.%s", one->name);
        if ((one->kind == BOUND_GAMMA || one->kind == BOUND_BETA) && one->norm->measured)
            compare(name, one->kind == BOUND_GAMMA ? one->norm->gamma : one->norm->beta, expected(file, name, NULL),
                    one->columns, 1e-5);
    }
}

static void check_case(const char *name, const char *isa) {
    golden_encoder g;
    golden_open(&g, name, isa);
    golden_check(&g);
    compare_moved(&g.b, &g.file);
    golden_close(&g);
}

static void test_against_pytorch(void **unused) {
    static const char *const cases[] = {"memory/res", "memory/pkm", "memory/after"};
    (void)unused;
    for (size_t isa = 0; isa < ISA_COUNT; isa++)
        for (size_t i = 0; isa_kernels(isa) && i < 3; i++) check_case(cases[i], isa_name(isa));
}

/* ---- Learning ---- */

/* Random gradients in some rows: lazily only these move, each component by about the rate in the first step, as dense
 * Adam moves them. */
static void test_lazy_step(void **unused) {
    bed b;
    (void)unused;
    open_bed(&b, GOLDEN "/memory/res", "scalar", 1);
    table *values = NULL;
    for (size_t i = 0; i < b.model->bound.count; i++)
        if (b.model->bound.items[i].kind == BOUND_TABLE && b.model->bound.items[i].table->slots)
            values = b.model->bound.items[i].table;
    assert_non_null(values);
    const size_t count = values->rows * values->width;
    float *now = (float *)(uintptr_t)values->data, *before = malloc(count * sizeof *before);
    memcpy(before, now, count * sizeof *before);
    for (size_t row = 3; row < values->rows; row += 7) {
        table_touch(values->learn, row);
        for (size_t j = 0; j < values->width; j++)
            values->learn->rows[row * values->width + j] = (float)random_normal(&drawing) + (j % 2 ? 2.0f : -2.0f);
    }
    const step_rule rule = {.rate = 0, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .schedule = rate_linear};
    for (size_t step = 0; step < 2; step++) {
        gradient_norms norms;
        assert_int_equal(parameters_gather(&b.params, NULL, NULL), RUBATO_OK);
        assert_int_equal(parameters_norms(&b.params, &norms, NULL, b.context->kernels, NULL), RUBATO_OK);
        parameters_step(&b.params, &rule, &norms, step, 2, NULL, b.context->kernels);
        for (size_t i = 0; i < count; i++) {
            const float moved = fabsf(now[i] - before[i]);
            if ((i / values->width) % 7 == 3)
                assert_true(fabsf(moved - 1e-3f) < 2e-5f);
            else
                assert_true(moved == 0);
        }
    } /* the second step touched no row */
    free(before);
    close_bed(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_search), cmocka_unit_test(test_small_search),    cmocka_unit_test(test_small_layer),
        cmocka_unit_test(test_sums),   cmocka_unit_test(test_equal_values),    cmocka_unit_test(test_shift_and_single),
        cmocka_unit_test(test_use),    cmocka_unit_test(test_against_pytorch), cmocka_unit_test(test_lazy_step)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
