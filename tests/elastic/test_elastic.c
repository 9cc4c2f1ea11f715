/* Operating points, retirement, budgets and costs, against worked examples. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "elastic/frontier.h"
#include "search/genes.h"
#include "search/pareto.h"
#include "shape.h"

static uint64_t state = 3;

/* Rows that stay are the highest, in order, ties to the earlier, row 0 when protected. */
static void test_choosing(void **unused) {
    (void)unused;
    for (int round = 0; round < 3000; round++) {
        size_t length = 1 + random_below(&state, 70), keep = 1 + random_below(&state, length);
        const size_t protects[] = {NO_ROW, 0, length - 1}, protect = protects[random_below(&state, 3)];
        float scores[70];
        size_t kept[70], want[70], count = 0;
        uint64_t scratch[70];
        bool taken[70] = {false};
        for (size_t i = 0; i < length; i++) scores[i] = (float)random_below(&state, 12) - 5;
        if (round % 10 == 0) scores[random_below(&state, length)] = NAN;
        if (round % 11 == 0) scores[random_below(&state, length)] = -INFINITY;
        for (size_t n = 0; n < keep; n++) {
            size_t best = SIZE_MAX;
            for (size_t i = 0; i < length; i++) {
                double s = isnan(scores[i]) ? -1e38 : (double)scores[i];
                if (!taken[i] && (best == SIZE_MAX || s > (isnan(scores[best]) ? -1e38 : (double)scores[best])))
                    best = i;
            }
            if (protect != NO_ROW && n == 0) best = protect;
            taken[best] = true;
        }
        for (size_t i = 0; i < length; i++)
            if (taken[i]) want[count++] = i;
        retire_choose(scores, length, keep, protect, kept, scratch);
        assert_memory_equal(kept, want, keep * sizeof *kept);
        uint32_t ranks[70];
        retire_rank(scores, length, ranks, scratch);
        for (size_t i = 0; i < length; i++)
            for (size_t j = 0; j < length; j++)
                if (scores[i] > scores[j]) assert_true(ranks[i] < ranks[j]);
    }
}

static void test_rows(void **unused) {
    (void)unused;
    const encoder_shape shape = {.layers = 3};
    point at = point_full(3);
    assert_true(point_is_full(&at));
    assert_int_equal(point_rows(&at, &shape, 0, 10, 10).leaving, 10);
    at.keep[0] = 0.1f;
    assert_int_equal(point_rows(&at, &shape, 0, 20, 20).leaving, 2);
    assert_int_equal(point_rows(&at, &shape, 0, 21, 21).leaving, 3);
    assert_int_equal(point_rows(&at, &shape, 0, 1, 1).leaving, 1);
    assert_int_equal(point_rows(&at, &shape, 0, 1000, 7).leaving, 7); /* never more than enter */
    at.skip[0] = true;
    assert_int_equal(point_rows(&at, &shape, 0, 20, 20).leaving, 20);
    assert_false(point_is_full(&at));
    assert_int_equal(point_depth(&at), 2);
    /* smallest configurations of a drop of 0.2 at length 128 */
    static const size_t want[] = {103, 83, 67, 54, 44, 36, 29, 24, 20, 16, 13, 11};
    size_t length = 128;
    for (size_t i = 0; i < 12; i++) assert_int_equal(length = (size_t)ceil(0.8 * (double)length), want[i]);
}

/* The first row by itself and the others two by two; block after block, as the published code pools (checked with
 * transformers' FunnelModel in tests/model). */
static void test_merged_rows(void **unused) {
    (void)unused;
    static const size_t lengths[] = {1, 2, 3, 7, 8, 512}, truncated[] = {1, 2, 2, 4, 4, 256},
                        whole[] = {1, 2, 2, 4, 5, 257};
    const merging cut = {.truncate = true}, all = {0}, plain = {.with_first = true};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t n = lengths[i];
        assert_int_equal(merged_rows(&cut, n), truncated[i]);
        assert_int_equal(merged_rows(&all, n), whole[i]);
        assert_int_equal(merged_rows(&plain, n), (n + 1) / 2);
        const merging *const kinds[] = {&cut, &all, &plain};
        for (size_t k = 0; k < 3; k++) {
            size_t made = merged_rows(kinds[k], n), next = 0, first;
            for (size_t j = 0; made < n && j < made; j++) { /* each row in one merged row, none left out but the last */
                size_t count = merged_from(kinds[k], n, j, &first);
                assert_int_equal(first, next);
                next += count;
            }
            assert_true(made == n || next == n || (k == 0 && next == n - 1));
        }
    }
    layer_sizes sizes[100];
    encoder_shape shape = shape_of(sizes, 10, 40, 1, 3);
    point at = point_full(3);
    at.merge[1] = true;
    assert_false(point_is_full(&at));
    layer_rows rows = point_rows(&at, &shape, 1, 9, 9);
    assert_true(rows.entering == 9 && rows.queries == 5 && rows.leaving == 5);
    at.keep[1] = 0.1f; /* does not count, whether there is something to merge or not */
    for (size_t n = 1; n < 10; n++) assert_int_equal(point_rows(&at, &shape, 1, n, n).leaving, merged_rows(&all, n));
    at.keep[1] = 1;
    /* 9 rows, then 5 that ask 9, then 5 */
    double first = 2 * 9 * 12 * 100 + 4 * 9 * 9 * 10, second = 4 * (9 + 5) * 100 + 4 * 9 * 5 * 10 + 2 * 5 * 8 * 100;
    double third = 2 * 5 * 12 * 100 + 4 * 5 * 5 * 10;
    assert_true(fabs(point_flops(&at, &shape, 9, NULL) - first - second - third) < 1e-6);
    shape.merges = 2;
    assert_true(fabs(point_flops(NULL, &shape, 9, NULL) - first - second - third) < 1e-6);
    const encoder_shape deep = shape_of(sizes, 10, 40, 1, 100);
    assert_true(fabs(point_flops(NULL, &deep, 9, NULL) - 100 * first) < 1e-6); /* more layers than a point has */
    shape.decoder = 2;                                                         /* the third sees all again */
    assert_true(fabs(point_flops(NULL, &shape, 9, NULL) - 2 * first - second) < 1e-6);
}

/* The multiply-accumulates that the Length-Adaptive Transformer's authors print: products, and normalisation's elements
 * with those of the embeddings, and one a token for the mask. */
static double published(size_t layers, size_t hidden, size_t inner, size_t length, const size_t *lengths, double head) {
    point at = point_full(layers);
    double norms;
    for (size_t i = 0; lengths && i < layers; i++) at.keep[i] = (float)((double)lengths[i] / (double)length);
    layer_sizes sizes[POINT_LAYERS];
    encoder_shape shape = shape_of(sizes, hidden, inner, 1, layers);
    double flops = point_flops(&at, &shape, length, &norms);
    return flops / 2 + norms + (double)(length * hidden + length) + head;
}

static void test_published_costs(void **unused) {
    (void)unused;
    static const size_t quala[] = {315, 251, 242, 159, 142, 33}, tiny[] = {3, 2};
    assert_true(published(12, 768, 3072, 384, NULL, 2.0 * 384 * 768) == 35340779904.0);
    assert_true(published(6, 384, 1536, 384, NULL, 2.0 * 384 * 384) == 4758552960.0);
    assert_true(published(6, 384, 1536, 384, quala, 2.0 * 384 * 384) == 2546934528.0);
    assert_true(published(2, 8, 16, 4, NULL, 2.0 * 4 * 8) == 4836);
    assert_true(published(2, 8, 16, 4, tiny, 2.0 * 4 * 8) == 3668);
}

static void test_genes(void **unused) {
    (void)unused;
    point a = gene_constant(6, 0.2), b = point_full(6);
    exit_setting exits[] = {{.rule = &exit_entropy, .threshold = 0.1f}, {.rule = &exit_patience, .patience = 2}};
    const float widths[] = {1, 0.5f, 0.25f};
    size_t moved[7] = {0}; /* how many lengths a mutation changed */
    assert_true(fabs((double)a.keep[5] - 0.26) < 0.006);
    for (int round = 0; round < 100000; round++) {
        gene_space space = {.lengths = round % 16 != 5,
                            .merges = round % 3 == 1,
                            .depth = round % 4 == 1,
                            .precision = round % 8 > 3,
                            .widths = widths,
                            .width_count = (size_t)round % 4,
                            .exits = exits,
                            .exit_count = (size_t)round % 3};
        point child = round % 2 ? gene_mutate(&a, &space, &state) : gene_cross(&a, &b, &state);
        assert_true(point_depth(&child) > 0);
        point body = gene_without_exit(&child);
        assert_true(gene_same_body(&body, &child) && gene_equal(&body, &child) == !child.exit.rule);
        size_t changed = 0;
        for (size_t i = 0; i < 6; i++) changed += child.keep[i] != a.keep[i];
        if (round % 2) moved[changed]++;
        for (size_t i = 0; i < 6; i++) {
            assert_true(child.keep[i] >= 0.0099f && child.keep[i] <= 1);
            assert_true(i == 0 || child.keep[i] <= child.keep[i - 1]);
        }
        if (round % 7 == 0) b = a;
        a = child;
        if (round % 20 == 0) a = point_full(6);
    }
    assert_true(moved[1] > 2000 && moved[2] + moved[3] > 1000);
    for (size_t depth = 1; depth < 6; depth++) {
        point shallow = gene_shallow(6, depth);
        assert_int_equal(point_depth(&shallow), depth);
    }
}

static void test_pareto(void **unused) {
    (void)unused;
    candidate all[] = {{.cost = 15, .quality = 85}, {.cost = 12, .quality = 79}, {.cost = 20, .quality = 86},
                       {.cost = 10, .quality = 80}, {.cost = 5, .quality = NAN}, {.cost = 18, .quality = 84}};
    assert_int_equal(pareto_reduce(all, 6), 3);
    assert_true(all[0].cost == 10 && all[1].cost == 15 && all[2].cost == 20);
    assert_true(fabs(pareto_area(all, 3) - 82.5) < 1e-9);
    candidate close[] = {{.cost = 49}, {.cost = 50}, {.cost = 70}, {.cost = 98.5}, {.cost = 100}};
    assert_int_equal(pareto_thin(close, 5, 0.02), 4);
    assert_true(close[0].cost == 49 && close[1].cost == 50 && close[2].cost == 70 && close[3].cost == 100);
    assert_int_equal(pareto_thin(close, 4, 0.021), 3);
    assert_true(close[0].cost == 50);
    assert_true(pareto_best(all, 3, 16, false) == 85 && pareto_best(all, 3, 9, false) == -INFINITY);
}

typedef struct pricing {
    const encoder_shape *shape;
    const cost_model *times;
} pricing;

static double price(const void *user, budget_kind kind, const point *at, size_t length) {
    const pricing *by = user;
    if (kind == BUDGET_MS) return cost_model_ms(by->times, at, by->shape, length, 1);
    return point_flops(at, by->shape, length, NULL) / point_flops(NULL, by->shape, length, NULL);
}

static const point *choose(const budget *b, const frontier *all, const cost_model *times, const encoder_shape *shape,
                           size_t length) {
    const point *got;
    budget_choose(&got, b, all, price, &(pricing){shape, times}, length);
    return got;
}

static frontier three_points(void) {
    static point points[3];
    for (size_t i = 0; i < 3; i++) {
        points[i] = gene_constant(4, 0.6 - 0.2 * (double)i);
        snprintf(points[i].name, sizeof points[i].name, "p%zu", i);
        points[i].quality = 0.8 + 0.05 * (double)i;
        points[i].flops_ratio = 0.3 + 0.2 * (double)i;
    }
    return (frontier){.points = points, .count = 3};
}

static void test_budgets(void **unused) {
    (void)unused;
    frontier all = three_points(), none = {0};
    layer_sizes sizes[4];
    const encoder_shape shape = shape_of(sizes, 64, 256, 4, 4);
    budget b;
    rubato_error error;
    static const char *const bad[] = {"", "x", "0.4", "-1x", "0x", "nanx", "infms", "0.4y", "@", "@p9", "0.1x", "5ms"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(budget_parse(&b, bad[i], &all, NULL, &error), RUBATO_BAD_ARGUMENT);
    static const char *const whole[] = {NULL, "full", "@full", "1x", "2.5x"};
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        assert_int_equal(budget_parse(&b, whole[i], &none, NULL, &error), RUBATO_OK);
        assert_null(choose(&b, &none, NULL, &shape, 20));
    }
    assert_int_equal(budget_parse(&b, "@p1", &all, NULL, &error), RUBATO_OK);
    assert_ptr_equal(choose(&b, &all, NULL, &shape, 20), &all.points[1]);
    /* at every length the best that the budget allows at that length */
    for (size_t length = 1; length < 200; length++) {
        assert_int_equal(budget_parse(&b, "0.55x", &all, NULL, &error), RUBATO_OK);
        const point *got = choose(&b, &all, NULL, &shape, length);
        assert_non_null(got);
        double limit = 0.55 * point_flops(NULL, &shape, length, NULL);
        for (size_t i = 0; i < 3; i++)
            if (point_flops(&all.points[i], &shape, length, NULL) <= limit)
                assert_true(got->quality >= all.points[i].quality || point_flops(got, &shape, length, NULL) <= limit);
    }
    cost_model times = {.threads = 1, .batch_rows = 192, .least_rows = 48};
    cost_curve line = {2, {0, 100}, {0, 1}};
    times.alone = (cost_parts){.attention = line, .forward = line, .heads = line, .outside = line};
    assert_true(fabs(cost_curve_at(&line, 50) - 0.5) < 1e-12 && fabs(cost_curve_at(&line, 200) - 2) < 1e-12);
    double whole_ms = cost_model_ms(&times, NULL, &shape, 100, 1);
    assert_true(fabs(whole_ms - 13) < 1e-9); /* one outside, three parts of four layers */
    assert_int_equal(budget_parse(&b, "13.1ms", &all, &times, &error), RUBATO_OK);
    assert_null(choose(&b, &all, &times, &shape, 100));
    assert_int_equal(budget_parse(&b, "9ms", &all, &times, &error), RUBATO_OK);
    const point *got = choose(&b, &all, &times, &shape, 100);
    assert_true(got && cost_model_ms(&times, got, &shape, 100, 1) <= 9);
}

static point costly(const char *name, double quality, double error, double flops_ratio) {
    point made = gene_constant(4, 0.5);
    snprintf(made.name, sizeof made.name, "%s", name);
    made.quality = quality;
    made.quality_error = error;
    made.flops_ratio = flops_ratio;
    return made;
}

/* The cost is the name's. */
static double named_price(const void *user, budget_kind kind, const point *at, size_t length) {
    (void)user;
    (void)kind;
    (void)length;
    if (at && at->exit.rule) return 0.9 * (double)at->alive[3];
    return at ? at->flops_ratio : 1;
}

static void test_noise_and_promises(void **unused) {
    (void)unused;
    point points[] = {costly("low", 0.88, 0.01, 0.2), costly("even", 0.875, 0.01, 0.3),
                      costly("worse", 0.80, 0.01, 0.4)};
    frontier all = {.points = points, .count = 3};
    budget b = {.kind = BUDGET_RATIO, .value = 0.5};
    const point *got;
    assert_true(budget_choose(&got, &b, &all, named_price, NULL, 20));
    assert_string_equal(got->name, "even"); /* dearer and not worse beyond noise, unlike the last */
    for (size_t i = 0; i < 3; i++) points[i].quality_error = NAN;
    assert_true(budget_choose(&got, &b, &all, named_price, NULL, 20));
    assert_string_equal(got->name, "low");
    b.value = 0.1;
    assert_false(budget_choose(&got, &b, &all, named_price, NULL, 20));
    assert_string_equal(got->name, "low");
    /* the standard error of a cost counts, and a strict budget expects no exit */
    point leaving = costly("exits", 0.9, 0.01, 0.3);
    leaving.exit.rule = exit_rule_find("entropy");
    leaving.alive[3] = 1 / 3.0f;
    frontier one = {.points = &leaving, .count = 1};
    b.value = 0.31;
    assert_true(budget_choose(&got, &b, &one, named_price, NULL, 20));
    b.value = 0.302; /* within two per cent */
    leaving.flops_error = 0.005;
    assert_true(budget_choose(&got, &b, &one, named_price, NULL, 20));
    b.value = 0.31;
    leaving.flops_error = 0.02;
    assert_false(budget_choose(&got, &b, &one, named_price, NULL, 20));
    leaving.flops_error = 0;
    b.strict = true;
    b.value = 0.85;
    assert_false(budget_choose(&got, &b, &one, named_price, NULL, 20));
    b.value = 0.95;
    assert_true(budget_choose(&got, &b, &one, named_price, NULL, 20));
}

static void test_files(void **unused) {
    (void)unused;
    frontier all = three_points(), read = {0};
    rubato_error error;
    json_t *object = json_object();
    all.points[1].skip[2] = true;
    all.by = SIGNIFICANCE_OTHERS;
    snprintf(all.metric, sizeof all.metric, "accuracy");
    assert_int_equal(frontier_write(&all, object, &error), RUBATO_OK);
    assert_int_equal(frontier_read(&read, object, 4, &error), RUBATO_OK);
    assert_int_equal(read.count, 3);
    assert_int_equal(read.by, SIGNIFICANCE_OTHERS);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(read.points[i].name, all.points[i].name);
        assert_true(gene_equal(&read.points[i], &all.points[i]));
        assert_true(read.points[i].quality == all.points[i].quality);
    }
    assert_int_equal(frontier_read(&read, object, 5, &error), RUBATO_BAD_MODEL);
    frontier_free(&read);
    static const char *const bad[] = {"{\"points\":[{\"keep\":[0]}]}",
                                      "{\"points\":[{\"keep\":[1.5]}]}",
                                      "{\"points\":[{\"keep\":[\"a\"]}]}",
                                      "{\"points\":[{}]}",
                                      "{\"points\":[7]}",
                                      "{\"significance\":\"odd\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *wrong;
        assert_int_equal(json_read_bytes(&wrong, bad[i], strlen(bad[i]), "test", &error), RUBATO_OK);
        assert_int_not_equal(frontier_read(&read, wrong, 1, &error), RUBATO_OK);
        frontier_free(&read);
        json_decref(wrong);
    }
    json_decref(object);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_choosing),    cmocka_unit_test(test_rows),
                                       cmocka_unit_test(test_merged_rows), cmocka_unit_test(test_published_costs),
                                       cmocka_unit_test(test_genes),       cmocka_unit_test(test_pareto),
                                       cmocka_unit_test(test_budgets),     cmocka_unit_test(test_noise_and_promises),
                                       cmocka_unit_test(test_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
