/* rubato_calibrate: how long a layer's parts take on this machine, for budgets in milliseconds. */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/options.h"
#include "base/order.h"
#include "task/calibration.h"
#include "task/memory_use.h"

enum { ROUNDS = 9, TIMES = 4 };

static const size_t row_samples[] = {1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512};
static const size_t length_samples[] = {1, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512};
enum {
    ROW_SAMPLES = sizeof row_samples / sizeof row_samples[0],
    LENGTH_SAMPLES = sizeof length_samples / sizeof length_samples[0]
};

/* ---- Measuring ---- */

/* What the caller is asked about. The first thread asks; all see the answer. */
typedef struct asking {
    const rubato_calibrate_options *options;
    size_t done, total;
    atomic_bool stop;
} asking;

static bool ask(asking *self) {
    const rubato_calibrate_options *options = self->options;
    if (options->progress && options->progress(options->progress_user, self->done, self->total))
        atomic_store(&self->stop, true);
    return atomic_load(&self->stop);
}

typedef struct measuring {
    const rubato_context *context;
    asking *caller;
    bool first_thread;
    size_t rows; /* or the length of a sequence */
    bool low;    /* in the low precision of a model with two */
    double first[ROUNDS], second[ROUNDS], third[ROUNDS];
    rubato_status status;
} measuring;

/* Whether the measurement is to end early. A layer of many rows may take a second, so each asks. */
static bool stopped(const measuring *m) {
    return m->first_thread ? ask(m->caller) : atomic_load(&m->caller->stop);
}

/* Rows of invented states, as sequences of at most the model's length. */
typedef struct made_up {
    tensor x;
    batch packed;
} made_up;

static made_up make_up(const encoder *body, const run *on, size_t rows) {
    size_t sequences = divide_up(rows, encoder_max_length(&body->config));
    size_t *start = run_take(on, sequences + 1, sizeof *start);
    int32_t *types = run_take(on, rows, sizeof *types);
    made_up out = {.x = run_tensor(on, rows, config_width(&body->config))};
    if (run_failed(on)) return out;
    for (size_t i = 0; i <= sequences; i++) start[i] = rows * i / sequences;
    memset(types, 0, rows * sizeof *types);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < out.x.columns; j++)
            tensor_row(out.x, i)[j] = (float)((i * 31 + j * 17) % 13) / 13 - 0.5f;
    out.packed = (batch){.sequences = sequences, .rows = rows, .start = start, .types = types};
    return out;
}

/* Runs all layers in turn, so that weights are read from the same cache or memory as in a forward pass. out: mean
 * times of a layer, for attention without its heads, its heads, the feed-forward part, and the memory where it has
 * one. */
static void run_layers(const measuring *m, const run *whole, const made_up *what, double out[TIMES]) {
    const encoder *body = &m->context->model->body;
    profile spent = {0};
    run on = *whole;
    on.profile = &spent;
    double attending_ms = 0, feeding_ms = 0;
    size_t remembering = 0;
    tensor x = what->x;
    for (size_t i = 0; i < body->depth && !stopped(m); i++) {
        const layer *one = &body->layers[body->order[i]];
        arena_mark mark = arena_save(on.memory);
        attending_input in = {.layer = i,
                              .heads = one->heads,
                              .x = x,
                              .query_rows = x,
                              .sequences = what->packed,
                              .queries = what->packed,
                              .input = what->packed};
        double begin = clock_ms();
        tensor y = layer_attend(one, &on, &in);
        double middle = clock_ms();
        x = layer_feed(one, &on, &(feeding_input){.x = y, .neurons = one->inner, .memory_heads = 1, .selected = 1}, x);
        remembering += one->feeding->remembers;
        attending_ms += middle - begin;
        feeding_ms += clock_ms() - middle;
        arena_rewind(on.memory, mark);
    }
    out[0] = (attending_ms - spent.ms[PART_HEADS]) / (double)body->depth;
    out[1] = spent.ms[PART_HEADS] / (double)body->depth;
    out[2] = (feeding_ms - spent.ms[PART_MEMORY]) / (double)body->depth;
    out[3] = spent.ms[PART_MEMORY] / (double)size_max(remembering, 1);
}

static void time_layers(measuring *m, const run *on, bool keep) {
    const encoder *body = &m->context->model->body;
    arena_mark mark = arena_save(on->memory);
    made_up what = make_up(body, on, m->rows);
    size_t rounds = m->rows <= 64 ? 4 * ROUNDS : ROUNDS;
    for (size_t round = 0; round < rounds && !run_failed(on) && !atomic_load(&m->caller->stop); round++) {
        double ms[TIMES];
        run_layers(m, on, &what, ms);
        if (!keep) continue;
        m->first[round % ROUNDS] = ms[0];
        m->second[round % ROUNDS] = ms[2];
        m->third[round % ROUNDS] = ms[3];
    }
    arena_rewind(on->memory, mark);
}

static void time_heads(measuring *m, const run *on, bool keep) {
    const encoder *body = &m->context->model->body;
    arena_mark mark = arena_save(on->memory);
    made_up what = make_up(body, on, m->rows);
    for (size_t round = 0; round < ROUNDS && !run_failed(on) && !atomic_load(&m->caller->stop); round++) {
        double ms[TIMES];
        run_layers(m, on, &what, ms);
        if (keep) m->first[round] = ms[1];
    }
    arena_rewind(on->memory, mark);
}

/* Times the embeddings alone, at a point at which no layer runs. */
static void time_outside(measuring *m, const run *on, bool keep) {
    const encoder *body = &m->context->model->body;
    size_t most = encoder_max_length(&body->config), sequences = divide_up(m->rows, most);
    point nothing = point_full(size_min(body->depth, POINT_LAYERS));
    for (size_t i = 0; i < nothing.layers; i++) nothing.skip[i] = true;
    thinning thin = {.point = &nothing};
    arena_mark mark = arena_save(on->memory);
    size_t *start = run_take(on, sequences + 1, sizeof *start);
    int32_t *ids = run_take(on, m->rows, sizeof *ids);
    int32_t *types = run_take(on, m->rows, sizeof *types);
    if (run_failed(on)) return;
    for (size_t i = 0; i <= sequences; i++) start[i] = m->rows * i / sequences;
    for (size_t i = 0; i < m->rows; i++) ids[i] = (int32_t)(i * 7919 % body->config.vocabulary);
    memset(types, 0, m->rows * sizeof *types);
    batch packed = {sequences, m->rows, start, ids, types};
    for (size_t round = 0; round < ROUNDS && !stopped(m); round++) {
        encoded out;
        double begin = clock_ms();
        arena_mark inner = arena_save(on->memory);
        encoder_forward(body, on, &packed, &thin, &out);
        arena_rewind(on->memory, inner);
        if (keep) m->first[round] = clock_ms() - begin;
    }
    arena_rewind(on->memory, mark);
}

typedef void time_function(measuring *m, const run *on, bool keep);

typedef struct alone_work {
    measuring start, *result;
    time_function *time;
    atomic_bool *failed; /* of a thread other than the first */
} alone_work;

/* Every thread runs the same work at once, as when each has batches of its own. The times of the first thread count. */
static void time_alone(void *argument, size_t member, size_t members) {
    const alone_work *work = argument;
    measuring own = work->start;
    own.first_thread = member == 0;
    run on = context_run(own.context, &own.status);
    on.crew = NULL;
    on.memory = &own.context->workers[member].memory;
    on.low = own.low;
    (void)members;
    work->time(&own, &on, true);
    if (member == 0)
        *work->result = own;
    else if (own.status != RUBATO_OK)
        atomic_store(work->failed, true);
}

static void add_sample(cost_curve *curve, double x, double *times) {
    curve->x[curve->count] = x;
    curve->ms[curve->count++] = median(times, ROUNDS);
}

/* The ways of measuring. */
typedef struct manner {
    bool together, low;
} manner;

static rubato_status measure_one(const rubato_context *context, manner by, asking *caller, time_function *time,
                                 size_t rows, cost_curve *first, cost_curve *second, cost_curve *third,
                                 rubato_error *error) {
    measuring m = {.context = context, .caller = caller, .first_thread = true, .rows = rows, .low = by.low};
    if (by.together) {
        run on = context_run(context, &m.status);
        on.low = by.low;
        time(&m, &on, true);
    } else {
        atomic_bool failed = false;
        alone_work work = {m, &m, time, &failed};
        team_run(context->crew, time_alone, &work);
        if (atomic_load(&failed)) return fail_memory(error);
    }
    if (m.status == RUBATO_OUT_OF_MEMORY) return fail_memory(error);
    if (atomic_load(&caller->stop)) return fail(error, RUBATO_CANCELLED, "cancelled");
    add_sample(first, (double)rows, m.first);
    if (second) add_sample(second, (double)rows, m.second);
    if (third && encoder_remembers(&context->model->body)) add_sample(third, (double)rows, m.third);
    return RUBATO_OK;
}

static rubato_status measure_parts(const rubato_context *context, manner by, asking *caller, cost_parts *parts,
                                   rubato_error *error) {
    size_t most = encoder_max_length(&context->model->body.config);
    *parts = (cost_parts){0};
    for (size_t i = 0; i < ROW_SAMPLES + LENGTH_SAMPLES; i++) {
        bool row = i < ROW_SAMPLES;
        size_t x = row ? row_samples[i] : length_samples[i - ROW_SAMPLES];
        if (row) {
            TRY(measure_one(context, by, caller, time_layers, x, &parts->attention, &parts->forward, &parts->memory,
                            error));
            TRY(measure_one(context, by, caller, time_outside, x, &parts->outside, NULL, NULL, error));
        } else if (x <= most) {
            TRY(measure_one(context, by, caller, time_heads, x, &parts->heads, NULL, NULL, error));
        }
        caller->done++;
        if (ask(caller)) return fail(error, RUBATO_CANCELLED, "cancelled");
    }
    return RUBATO_OK;
}

rubato_status rubato_calibrate(rubato_context *context, const rubato_calibrate_options *options,
                               rubato_calibration **calibration, rubato_error *error) {
    bool both = encoder_has_both(&context->model->body);
    rubato_calibrate_options own;
    asking caller = {.options = &own, .total = (both ? 4 : 2) * (ROW_SAMPLES + LENGTH_SAMPLES)};
    rubato_calibration *made;
    if (calibration) *calibration = NULL;
    TRY(OPTIONS_COPY(&own, rubato_calibrate_options, options, error));
    TRY(calibration_create(&made, context, error));
    made->times.has_low = both;
    cost_parts *const parts[] = {&made->times.alone, &made->times.together, &made->times.low_alone,
                                 &made->times.low_together};
    rubato_status status = RUBATO_OK;
    for (size_t i = 0; i < (both ? 4 : 2) && status == RUBATO_OK; i++)
        status = measure_parts(context, (manner){.together = i % 2, .low = i >= 2}, &caller, parts[i], error);
    for (size_t i = 0; i < team_size(context->crew); i++) arena_reset(&context->workers[i].memory);
    if (status == RUBATO_OK) status = calibration_write(made, error);
    if (status == RUBATO_OK && calibration)
        *calibration = made;
    else
        rubato_calibration_destroy(made);
    return status;
}
