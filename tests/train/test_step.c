/* The points of a step: what a phase's functions see and in which order, what lessons are shown, whose layers a pass
 * runs, and that workers with parts of a step's samples have the gradient of the whole. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "task/context.h"
#include "train/trainer.h"

static const char *const lines[] = {"a a b\tpos\n", "b b a c\tneg\n",   "c a\tpos\n",       "d b b\tneg\n",
                                    "a d\tpos\n",   "b c d e f\tneg\n", "a a a a c\tpos\n", "f b\tneg\n"};
enum { LINES = sizeof lines / sizeof lines[0] };

typedef struct bed {
    char folder[64], data[80], out[80];
    trainer by;
} bed;

/* A trainer on lines [first, last) in their order, all of them one step. */
static void open_bed(bed *b, size_t first, size_t last, size_t micro_tokens) {
    rubato_error error = {0};
    snprintf(b->folder, sizeof b->folder, "/tmp/rubato-step-XXXXXX");
    assert_non_null(mkdtemp(b->folder));
    snprintf(b->data, sizeof b->data, "%s/data.tsv", b->folder);
    snprintf(b->out, sizeof b->out, "%s/out", b->folder);
    FILE *file = fopen(b->data, "w");
    fputs("sentence\tlabel\n", file);
    for (size_t i = first; i < last; i++) fputs(lines[i], file);
    fclose(file);
    static rubato_train_options options;
    options = (rubato_train_options){.model = GOLDEN "/bert",
                                     .task = "classification",
                                     .labels = "neg,pos",
                                     .data = b->data,
                                     .out = b->out,
                                     .batch = last - first,
                                     .micro_tokens = micro_tokens,
                                     .dropout = -1,
                                     .threads = 1,
                                     .keep_order = 1};
    if (trainer_open(&b->by, &options, &error) != RUBATO_OK) fail_msg("%s", error.message);
}

static void close_bed(bed *b) {
    char command[96];
    trainer_close(&b->by);
    snprintf(command, sizeof command, "rm -r %s", b->folder);
    assert_int_equal(system(command), 0);
}

static size_t two_passes(const trainer *self, uint64_t *state, pass *out) {
    (void)state;
    for (size_t i = 0; i < 2; i++) out[i] = (pass){.at = point_full(self->model->body.depth), .follows = i > 0};
    return 2;
}

static size_t one_pass(const trainer *self, uint64_t *state, pass *out) {
    return two_passes(self, state, out) / 2;
}

static double gradient_size(const parameters *params) {
    double sum = 0;
    for (size_t i = 0; i < params->count; i++)
        for (size_t j = 0; j < params->items[i].count; j++) sum += fabs((double)params->items[i].gradient[j]);
    return sum;
}

/* ---- The order of a step ---- */

typedef struct journal {
    char text[64];
} journal;

static void write_down(journal *self, char what) {
    self->text[strlen(self->text)] = what;
}

static rubato_status note_pass(void *user, passing *now, rubato_error *error) {
    (void)error;
    write_down(user, now->number ? 'q' : 'p');
    assert_true(now->body == &now->by->model->body && now->seen.count == 0);
    return RUBATO_OK;
}

static rubato_status note_gradients(void *user, trainer *self, rubato_error *error) {
    (void)error;
    write_down(user, 'g');
    assert_true(gradient_size(&self->params) > 0);
    return RUBATO_OK;
}

static rubato_status note_step(void *user, trainer *self, rubato_error *error) {
    (void)error;
    write_down(user, 's');
    assert_true(gradient_size(&self->params) == 0);
    return RUBATO_OK;
}

static double note_lesson(const lesson *self, passing *now) {
    journal *into = (journal *)(uintptr_t)self->setting;
    write_down(into, 'l');
    assert_int_equal(now->seen.count, now->body->depth + 1);
    for (size_t i = 0; i < now->seen.count; i++) {
        assert_int_equal(now->seen.at[i].number, i);
        assert_int_equal(now->seen.at[i].rows.rows, now->part->packed.rows);
    }
    assert_true((now->keep != NULL) == (now->number == 0) && (now->follow != NULL) == (now->number > 0));
    return self->weight;
}

static double never(const lesson *self, passing *now) {
    (void)self;
    (void)now;
    fail_msg("a lesson without weight is asked");
    return 0;
}

static void test_order(void **state) {
    static const lesson_kind noting = {.name = "noting", .observes = WATCH_STATE, .loss = note_lesson};
    static const lesson_kind nothing = {.name = "nothing", .loss = never};
    bed b;
    journal seen = {{0}};
    rubato_error error = {0};
    (void)state;
    const lesson lessons[] = {{&lesson_answers, 1, NULL}, {&nothing, 0, NULL}, {&noting, 2, &seen}};
    const phase what = {.name = "test",
                        .epochs = 2,
                        .passes = two_passes,
                        .lessons = lessons,
                        .lesson_count = 3,
                        .before_pass = note_pass,
                        .after_gradients = note_gradients,
                        .after_step = note_step,
                        .user = &seen};
    open_bed(&b, 0, LINES, 0);
    if (trainer_run(&b.by, &what, &error) != RUBATO_OK) fail_msg("%s", error.message);
    assert_string_equal(seen.text, "plqlgsplqlgs");
    close_bed(&b);
    /* in parts: all passes over one, then over the next */
    seen = (journal){{0}};
    open_bed(&b, 0, LINES, 30);
    if (trainer_run(&b.by, &what, &error) != RUBATO_OK) fail_msg("%s", error.message);
    assert_string_equal(seen.text, "plqlplqlgsplqlplqlgs");
    close_bed(&b);
}

/* ---- The layers of a pass ---- */

typedef struct swap {
    encoder mine;
    uint16_t order[POINT_LAYERS];
} swap;

/* The model's first layer in the place of every other. */
static rubato_status run_first_layer(void *user, passing *now, rubato_error *error) {
    swap *self = user;
    (void)error;
    self->mine = *now->body;
    self->mine.order = self->order;
    now->body = &self->mine;
    return RUBATO_OK;
}

static rubato_status look_at_layers(void *user, trainer *self, rubato_error *error) {
    const encoder *body = &self->model->body;
    (void)user;
    (void)error;
    for (size_t i = 0; i < self->params.count; i++) {
        const parameter *p = &self->params.items[i];
        double sum = 0;
        for (size_t j = 0; j < p->count; j++) sum += fabs((double)p->gradient[j]);
        for (size_t j = 0; j < body->unique; j++)
            if (p->value == body->layers[j].output_norm.gamma) assert_true((sum > 0) == (j == 0));
    }
    return RUBATO_OK;
}

static void test_layers_of_a_pass(void **state) {
    bed b;
    swap mine = {.order = {0}};
    rubato_error error = {0};
    (void)state;
    const phase what = {.name = "test",
                        .epochs = 1,
                        .passes = one_pass,
                        .before_pass = run_first_layer,
                        .after_gradients = look_at_layers,
                        .user = &mine};
    open_bed(&b, 0, LINES, 0);
    assert_true(b.by.model->body.unique > 1);
    if (trainer_run(&b.by, &what, &error) != RUBATO_OK) fail_msg("%s", error.message);
    close_bed(&b);
}

/* ---- Tensors that losses see ---- */

enum { PARTS = WATCH_QUERIES | WATCH_KEYS | WATCH_VALUES | WATCH_ATTENTION };

/* Runs all lines; with a tape the tensors of kind `learns` get weights as their gradient, and backward follows. Returns
 * the sum of those tensors times the weights. */
static double observe_lines(bed *b, bool records, watch_kind learns, observed *seen) {
    trainer *by = &b->by;
    rubato_status status = RUBATO_OK;
    tape recording = {0};
    run on = {.kernels = by->context->kernels,
              .crew = by->context->crew,
              .memory = &by->memory,
              .status = &status,
              .tape = records ? &recording : NULL};
    const sample *all[LINES];
    portion part;
    encoded out;
    *seen = (observed){0};
    for (size_t i = 0; i < LINES; i++) all[i] = &by->data.items[i];
    assert_true(portion_create(&part, by, all, LINES, 0, &by->memory));
    observe_forward(&by->model->body, &on, NULL, &part.packed, NULL, PARTS | WATCH_STATE, seen, &out);
    assert_int_equal(status, RUBATO_OK);
    const observation *at;
    double sum = 0;
    for (size_t i = 0; (at = observed_find(seen, learns, i)); i++)
        for (size_t row = 0; row < at->rows.rows; row++)
            for (size_t j = 0; j < at->rows.columns; j++) {
                double weight = 1 + (double)((i + 5 * row + 3 * j) % 7);
                sum += weight * (double)tensor_row(at->rows, row)[j];
                if (records) tensor_grad(at->rows, row)[j] += (float)weight;
            }
    if (records) tape_backward(&on);
    assert_int_equal(status, RUBATO_OK);
    return sum;
}

/* A teacher, which does not record, shows what a learner shows. */
static void test_teacher_and_learner_alike(void **state) {
    static const watch_kind kinds[] = {WATCH_STATE, WATCH_QUERIES, WATCH_KEYS, WATCH_VALUES, WATCH_ATTENTION};
    bed b;
    observed teacher, learner;
    (void)state;
    open_bed(&b, 0, LINES, 0);
    observe_lines(&b, false, WATCH_STATE, &teacher);
    observe_lines(&b, true, WATCH_STATE, &learner);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        const observation *one, *other;
        size_t i = 0;
        for (; (one = observed_find(&teacher, kinds[k], i)); i++) {
            other = observed_find(&learner, kinds[k], i);
            assert_non_null(other);
            assert_int_equal(one->number, kinds[k] == WATCH_STATE ? i : i + 1);
            assert_int_equal(one->number, other->number);
            assert_int_equal(one->rows.columns, other->rows.columns);
            for (size_t row = 0; row < one->rows.rows; row++)
                for (size_t j = 0; j < one->rows.columns; j++)
                    assert_true(fabsf(tensor_row(one->rows, row)[j] - tensor_row(other->rows, row)[j]) < 1e-5f);
        }
        assert_int_equal(i, b.by.model->body.depth + (kinds[k] == WATCH_STATE));
    }
    close_bed(&b);
}

/* A loss on any of these tensors teaches the layers below: some derivatives against central differences. */
static void test_every_tensor_teaches(void **state) {
    static const watch_kind kinds[] = {WATCH_STATE, WATCH_QUERIES, WATCH_KEYS, WATCH_VALUES, WATCH_ATTENTION};
    bed b;
    observed seen;
    (void)state;
    open_bed(&b, 0, LINES, 0);
    parameters *params = &b.by.params;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        size_t compared = 0;
        parameters_clear(params);
        observe_lines(&b, true, kinds[k], &seen);
        arena_reset(&b.by.memory);
        for (size_t i = 0; i < params->count; i++) {
            const parameter *p = &params->items[i];
            size_t most = 0;
            for (size_t j = 0; j < p->count; j++)
                if (fabsf(p->gradient[j]) > fabsf(p->gradient[most])) most = j;
            const float slope = p->gradient[most], was = p->value[most], step = 2e-3f;
            if (fabsf(slope) < 1) continue;
            double sums[2];
            for (int side = 0; side < 2; side++) {
                p->value[most] = was + (side ? step : -step);
                parameters_refresh(params, b.by.context->crew, b.by.context->kernels);
                sums[side] = observe_lines(&b, false, kinds[k], &seen);
                arena_reset(&b.by.memory);
            }
            p->value[most] = was;
            double got = (sums[1] - sums[0]) / (2 * (double)step);
            if (fabs(got - (double)slope) > 0.03 * fabs((double)slope) + 0.3)
                fail_msg("kind %d, parameter %zu: %g, should be %g", kinds[k], i, (double)slope, got);
            compared++;
        }
        assert_true(compared > 8);
        parameters_refresh(params, b.by.context->crew, b.by.context->kernels);
    }
    close_bed(&b);
}

/* ---- Several workers ---- */

/* A worker that runs after another one: what the other gave, and where in it this one is. The first only writes. */
typedef struct ledger {
    float *values;
    size_t count, capacity, at;
    bool writes;
} ledger;

static rubato_status add_ledger(void *user, const gradient_span *all, size_t count, rubato_error *error) {
    ledger *self = user;
    (void)error;
    if (count == 1 && all->count == 2) { /* items and rows */
        for (size_t i = 0; i < 2; i++) all->values[i] *= 2;
        return RUBATO_OK;
    }
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < all[i].count; j++) {
            if (self->writes) {
                assert_true(self->count < self->capacity);
                self->values[self->count++] = all[i].values[j];
            } else {
                assert_true(self->at < self->count);
                all[i].values[j] += self->values[self->at++];
            }
        }
    return RUBATO_OK;
}

/* Any worker may have touched any row. */
static rubato_status join_all(void *user, uint32_t *rows, size_t *count, size_t most, rubato_error *error) {
    (void)user;
    (void)error;
    for (size_t i = 1; i < *count; i++) assert_true(rows[i - 1] < rows[i]);
    for (*count = 0; *count < most; ++*count) rows[*count] = (uint32_t)*count;
    return RUBATO_OK;
}

/* The gradient of a step, one array after the other. */
typedef struct snapshot {
    float *values;
    size_t count;
} snapshot;

static rubato_status take_snapshot(void *user, trainer *self, rubato_error *error) {
    snapshot *out = user;
    (void)error;
    out->count = 0;
    for (size_t i = 0; i < self->params.count; i++) out->count += self->params.items[i].count;
    out->values = malloc(out->count * sizeof *out->values);
    float *to = out->values;
    for (size_t i = 0; i < self->params.count; i++) {
        memcpy(to, self->params.items[i].gradient, self->params.items[i].count * sizeof *to);
        to += self->params.items[i].count;
    }
    return RUBATO_OK;
}

static snapshot gradient_of(size_t first, size_t last, ledger *with) {
    bed b;
    snapshot out = {0};
    rubato_error error = {0};
    const gradient_exchange exchange = {add_ledger, join_all, with};
    const phase what = {
        .name = "test", .epochs = 1, .passes = one_pass, .after_gradients = take_snapshot, .user = &out};
    open_bed(&b, first, last, 0);
    b.by.exchange = with ? &exchange : NULL;
    if (trainer_run(&b.by, &what, &error) != RUBATO_OK) fail_msg("%s", error.message);
    close_bed(&b);
    return out;
}

static void test_two_workers(void **state) {
    ledger shared = {.capacity = 1 << 20, .writes = true};
    shared.values = malloc(shared.capacity * sizeof *shared.values);
    (void)state;
    snapshot whole = gradient_of(0, LINES, NULL), one = gradient_of(0, LINES / 2, &shared);
    shared.writes = false;
    snapshot both = gradient_of(LINES / 2, LINES, &shared);
    assert_true(shared.at == shared.count && shared.count == whole.count);
    assert_true(both.count == whole.count && one.count == whole.count);
    double most = 0, apart = 0, half = 0;
    for (size_t i = 0; i < whole.count; i++) {
        most = fmax(most, fabs((double)whole.values[i]));
        apart = fmax(apart, fabs((double)whole.values[i] - (double)both.values[i]));
        half = fmax(half, fabs((double)whole.values[i] - (double)one.values[i]));
    }
    assert_true(most > 1e-3 && half > 1e-3);
    assert_true(apart < 1e-6);
    free(shared.values);
    free(whole.values);
    free(one.values);
    free(both.values);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order), cmocka_unit_test(test_layers_of_a_pass),
                                       cmocka_unit_test(test_teacher_and_learner_alike),
                                       cmocka_unit_test(test_every_tensor_teaches), cmocka_unit_test(test_two_workers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
