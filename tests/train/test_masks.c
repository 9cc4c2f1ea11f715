/* Pruning: how many groups stay, which ones, what their scores learn, and the hard concrete distribution. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/random.h"
#include "task/context.h"
#include "train/largest.h"
#include "train/pruning.h"
#include "train/recipe/draw.h"

static void near(double is, double wanted, double within) {
    if (!(fabs(is - wanted) <= within)) fail_msg("%.6f, not %.6f", is, wanted);
}

/* ---- The largest numbers ---- */

static int falling(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

static void test_largest(void **state) {
    uint64_t draw = 3;
    (void)state;
    for (size_t round = 0; round < 300; round++) {
        const size_t count = 1 + random_below(&draw, 70), most = random_below(&draw, count + 3);
        float values[73] = {0}, sorted[73], marks[73] = {0};
        for (size_t i = 0; i < count; i++) {
            values[i] = round % 3 ? (float)random_normal(&draw) : (float)random_below(&draw, 4) - 2;
            if (random_below(&draw, 20) == 0) values[i] = i % 2 ? INFINITY : -INFINITY;
        }
        memcpy(sorted, values, sizeof values);
        qsort(sorted, count, sizeof *sorted, falling);
        largest_mark(values, count, most, marks);
        size_t marked = 0;
        float least = INFINITY, left = -INFINITY;
        for (size_t i = 0; i < count; i++) {
            assert_true(marks[i] == 0 || marks[i] == 1);
            marked += marks[i] == 1;
            if (marks[i] == 1) least = fminf(least, values[i]);
            if (marks[i] == 0) left = fmaxf(left, values[i]);
        }
        assert_int_equal(marked, size_min(most, count));
        if (marked && marked < count) assert_true(least >= left && least == sorted[marked - 1]);
    }
    float equal[] = {1, 1, 1, 1}, marks[4];
    largest_mark(equal, 4, 2, marks);
    assert_true(marks[0] == 1 && marks[1] == 1 && marks[2] == 0 && marks[3] == 0);
}

/* ---- The hard concrete distribution ---- */

/* The mean by the distribution function: P(z <= t) of the stretched variable. */
static double mean_of(double score) {
    enum { STEPS = 20000 };
    double sum = 0;
    for (size_t i = 0; i < STEPS; i++) {
        double slope;
        sum += concrete_sample(score, ((double)i + 0.5) / STEPS, &slope);
    }
    return sum / STEPS;
}

static void test_concrete(void **state) {
    enum { DRAWS = 1000000 };
    uint64_t draw = 11;
    (void)state;
    for (double score = -3; score <= 3; score += 1.5) {
        double sum = 0, open = 0, slope;
        for (size_t i = 0; i < DRAWS; i++) {
            const double z = concrete_sample(score, 1e-6 + (1 - 2e-6) * random_real(&draw), &slope);
            sum += z;
            open += z > 0;
        }
        near(sum / DRAWS, mean_of(score), 2e-3);
        near(open / DRAWS, concrete_open(score), 2e-3);
    }
    near(concrete_open(2.197), 0.98, 0.02);
    near(concrete_settled(2.197), 0.98, 0.02); /* 1.2 * 0.9 - 0.1 */
    assert_true(concrete_settled(-5) == 0 && concrete_settled(9) == 1);
    for (double u = 0.05; u < 1; u += 0.1) {
        double slope, other;
        concrete_sample(0.3, u, &slope);
        near(slope, (concrete_sample(0.3 + 1e-6, u, &other) - concrete_sample(0.3 - 1e-6, u, &other)) / 2e-6, 1e-4);
    }
}

static void test_schedule(void **state) {
    const pruning_options o = {.keep = 0.2, .begin = 0.1, .end = 0.4};
    (void)state;
    near(pruning_share(&o, 0, 100), 1, 0);
    near(pruning_share(&o, 10, 100), 1, 0);
    near(pruning_share(&o, 35, 100), 0.2 + 0.8 * 0.125, 1e-12);
    near(pruning_share(&o, 60, 100), 0.2, 0);
    near(pruning_share(&o, 100, 100), 0.2, 0);
    for (size_t i = 1; i <= 100; i++) assert_true(pruning_share(&o, i, 100) <= pruning_share(&o, i - 1, 100));
}

/* ---- Masks ---- */

typedef struct bed {
    char folder[64], data[80], out[80];
    rubato_train_options options;
    trainer by;
    pruning *masks;
} bed;

static void open_bed(bed *b, const pruning_options *how) {
    rubato_error error = {0};
    snprintf(b->folder, sizeof b->folder, "/tmp/rubato-pruning-XXXXXX");
    assert_non_null(mkdtemp(b->folder));
    snprintf(b->data, sizeof b->data, "%s/data.tsv", b->folder);
    snprintf(b->out, sizeof b->out, "%s/out", b->folder);
    FILE *file = fopen(b->data, "w");
    fputs("text\tlabel\na b c\tLABEL_0\nd e\tLABEL_1\nf g h i\tLABEL_2\n", file);
    fclose(file);
    b->options = (rubato_train_options){.size = sizeof b->options,
                                        .model = GOLDEN "/students/teacher",
                                        .task = "classification",
                                        .data = b->data,
                                        .out = b->out,
                                        .dropout = -1,
                                        .decay = -1,
                                        .clip = -1,
                                        .batch = 3,
                                        .threads = 1,
                                        .keep_order = 1};
    if (trainer_open(&b->by, &b->options, &error) != RUBATO_OK) fail_msg("%s", error.message);
    if (pruning_create(&b->masks, &b->by, how, &error) != RUBATO_OK) fail_msg("%s", error.message);
}

static void close_bed(bed *b) {
    char command[96];
    pruning_destroy(b->masks);
    trainer_close(&b->by);
    snprintf(command, sizeof command, "rm -r %s", b->folder);
    assert_int_equal(system(command), 0);
}

static double zeros_of(const linear *of) {
    size_t zeros = 0;
    float *row = malloc(of->in * sizeof *row);
    for (size_t i = 0; i < of->out; i++) {
        linear_unpack(of, i, 1, row);
        for (size_t k = 0; k < of->in; k++) zeros += row[k] == 0;
    }
    free(row);
    return (double)zeros / (double)(of->in * of->out);
}

static void sum_zeros(void *user, linear *of, const linear_role *role) {
    double *sums = user; /* layers, zeros of all, of those behind heads and neurons */
    sums[0]++;
    sums[1] += zeros_of(of);
    if (role->inputs != AXIS_HIDDEN) sums[2] += zeros_of(of);
}

static void test_counts(void **state) {
    static const prune_unit units[] = {PRUNE_WEIGHTS, PRUNE_QUADS, PRUNE_STRUCTURE};
    (void)state;
    for (size_t i = 0; i < 3; i++)
        for (int rule = PRUNE_MAGNITUDE; rule <= PRUNE_MOVEMENT; rule++) {
            bed b;
            rubato_error error;
            double sums[3] = {0};
            open_bed(&b, &(pruning_options){.rule = (prune_rule)rule, .unit = units[i], .keep = 0.25});
            assert_int_equal(pruning_apply(b.masks, 10, 10, false, &error), RUBATO_OK);
            encoder_visit(&b.by.model->body, sum_zeros, sums);
            near(pruning_kept(b.masks), 0.25, 0.02);
            if (units[i] == PRUNE_STRUCTURE)
                near(sums[2] / sums[0], 0.75 / 2, 0.02);
            else
                near(sums[1] / sums[0], 0.75, 0.01);
            close_bed(&b);
        }
}

/* With everything kept, the model is the plain one: a step changes it as without masks. */
static double run_steps(bed *b, bool masked, size_t number) {
    rubato_error error = {0};
    const phase what = {.name = "test",
                        .epochs = (double)number,
                        .passes = draw_full,
                        .after_gradients = masked ? pruning_after_gradients : NULL,
                        .after_step = masked ? pruning_after_step : NULL,
                        .user = b->masks};
    if (masked) assert_int_equal(pruning_apply(b->masks, 0, number, false, &error), RUBATO_OK);
    if (trainer_run(&b->by, &what, &error) != RUBATO_OK) fail_msg("%s", error.message);
    return b->by.loss;
}

static void test_nothing_pruned(void **state) {
    bed plain, masked;
    (void)state;
    const pruning_options all = {.rule = PRUNE_MOVEMENT, .unit = PRUNE_WEIGHTS, .keep = 1, .score_rate = 1e-2};
    open_bed(&plain, &all);
    /* the plain one gets its own weights back */
    pruning_destroy(plain.masks);
    plain.masks = NULL;
    open_bed(&masked, &all);
    const double a = run_steps(&plain, false, 4), b = run_steps(&masked, true, 4);
    assert_true(a == b);
    pruning_destroy(plain.masks);
    plain.masks = NULL;
    close_bed(&plain);
    close_bed(&masked);
}

/* The loss with a group's factor a little larger and smaller, against what its score learns: dL/dz. */
static const linear *last_down;

static void keep_last(void *user, linear *of, const linear_role *role) {
    (void)user;
    if (role->inputs == AXIS_NEURONS) last_down = of;
}

static double loss_at(bed *b, bool backward) {
    rubato_error error = {0};
    rubato_status done = RUBATO_OK;
    tape recording = {0};
    run on = trainer_on(&b->by, &done, &recording);
    portion part;
    encoded out;
    const sample *some[3];
    for (size_t i = 0; i < 3; i++) some[i] = &b->by.data.items[i];
    assert_true(portion_create(&part, &b->by, some, 3, 0, &b->by.memory));
    encoder_forward(&b->by.model->body, &on, &part.packed, NULL, &out);
    double loss = portion_loss(&b->by, &on, &out, &part, NULL, (divergence){0}, NULL, 1);
    if (backward) tape_backward(&on);
    assert_int_equal(run_result(&on, &error), RUBATO_OK);
    arena_reset(&b->by.memory);
    return loss;
}

static void test_scores(void **state) {
    bed b;
    rubato_error error = {0};
    (void)state;
    open_bed(&b, &(pruning_options){.rule = PRUNE_MOVEMENT, .unit = PRUNE_STRUCTURE, .keep = 0.5});
    assert_int_equal(pruning_apply(b.masks, 0, 10, false, &error), RUBATO_OK);
    encoder_visit(&b.by.model->body, keep_last, NULL);
    loss_at(&b, true);
    assert_int_equal(pruning_after_gradients(b.masks, &b.by, &error), RUBATO_OK);
    /* the scores of the last layer's neurons are the last parameters but the multipliers */
    const parameter *scores = &b.by.params.items[b.by.params.count - 2];
    assert_int_equal(scores->count, last_down->in);
    float *packed = last_down->packed;
    for (size_t k = 0; k < last_down->in; k += 5) {
        float column[2 * PANEL];
        const size_t out = last_down->out;
        for (size_t j = 0; j < out; j++) column[j] = packed[(j / PANEL * last_down->in + k) * PANEL + j % PANEL];
        double sides[2];
        for (int side = 0; side < 2; side++) {
            for (size_t j = 0; j < out; j++)
                packed[(j / PANEL * last_down->in + k) * PANEL + j % PANEL] = column[j] * (side ? 1.01f : 0.99f);
            sides[side] = loss_at(&b, false);
        }
        for (size_t j = 0; j < out; j++) packed[(j / PANEL * last_down->in + k) * PANEL + j % PANEL] = column[j];
        /* a group that is out has no weights to move: its column is 0, and so is what is measured here */
        if (column[0] != 0) near((double)scores->gradient[k], (sides[1] - sides[0]) / 0.02, 2e-3);
    }
    close_bed(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_largest),        cmocka_unit_test(test_concrete),
                                       cmocka_unit_test(test_schedule),       cmocka_unit_test(test_counts),
                                       cmocka_unit_test(test_nothing_pruned), cmocka_unit_test(test_scores)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
