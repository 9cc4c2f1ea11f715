/* From texts to packed batches and back. */
#include "task/job.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "elastic/walk.h"
#include "task/costs.h"
#include "task/encode.h"
#include "task/exit_trail.h"

/* ---- Tokenising ---- */

typedef struct first_error {
    pthread_mutex_t lock;
    rubato_error error;
    rubato_status status;
    size_t index;
    atomic_bool any;
} first_error;

/* Keeps the failure of the lowest input index. */
static void note_error(first_error *first, rubato_status status, const rubato_error *error, size_t index) {
    pthread_mutex_lock(&first->lock);
    if (first->status == RUBATO_OK || index < first->index) {
        first->status = status;
        first->error = *error;
        first->index = index;
        atomic_store(&first->any, true);
    }
    pthread_mutex_unlock(&first->lock);
}

typedef struct tokenizing {
    rubato_context *context;
    job *work;
    atomic_size_t next;
    first_error *first;
} tokenizing;

static rubato_status encode_one(tokenizing *all, worker *mine, size_t index, rubato_error *error) {
    const rubato_model *model = all->context->model;
    job *work = all->work;
    TRY(engine_encode(model, &work->inputs[index], &work->text, &mine->text, &work->encodings[index], error));
    if (work->prepare) TRY(work->prepare(work->user, index, work->encodings[index], error));
    return RUBATO_OK;
}

static void tokenize_some(void *argument, size_t member, size_t members) {
    tokenizing *all = argument;
    (void)members;
    enum { CHUNK = 16 };
    for (;;) {
        size_t first = atomic_fetch_add(&all->next, CHUNK);
        if (first >= all->work->count || atomic_load(&all->first->any)) return;
        for (size_t i = first; i < size_min(first + CHUNK, all->work->count); i++) {
            rubato_error error = {0};
            rubato_status status = encode_one(all, &all->context->workers[member], i, &error);
            if (status != RUBATO_OK) note_error(all->first, status, &error, i);
        }
    }
}

/* ---- Batches ---- */

typedef struct running {
    rubato_context *context;
    job *work;
    unit *units;
    size_t unit_count;
    size_t *cuts; /* batch b is units [cuts[b], cuts[b + 1]) */
    size_t batches;
    bool shared; /* all threads run one batch together */
    atomic_size_t next, done;
    first_error *first;
} running;

/* Sorts by point, because a batch runs at one point; then the longest first. */
static int by_length(const void *a, const void *b) {
    const unit *x = a, *y = b;
    if (x->at != y->at) return (uintptr_t)x->at < (uintptr_t)y->at ? -1 : 1;
    if (x->window->length != y->window->length) return x->window->length > y->window->length ? -1 : 1;
    if (x->input != y->input) return x->input < y->input ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* Whether a head reads only one row of a sequence, or the mean. */
static bool one_row(head_kind kind) {
    return kind == HEAD_SEQUENCE || kind == HEAD_NSP;
}

thinning engine_thinning(const rubato_model *model, head_kind kind, const point *at) {
    const bool last = one_row(kind) && model->body.config.last_head;
    const bool first = one_row(kind) ? !last : kind == HEAD_COUNT && pooling_has(&model->pool, POOL_CLS);
    return (thinning){
        .point = at, .by = model->points.by, .protect_first = first, .protect_last = last, .restore = !one_row(kind)};
}

const float *engine_results(const head *from, const run *on, const encoded *out, const exit_session *left) {
    bool first = one_row(from->kind);
    size_t count = first ? out->packed.sequences : out->packed.rows, columns = from->out.out;
    float *made = run_take(on, count * columns, sizeof *made);
    if (!made) return NULL;
    if (left) {
        exit_session_results(left, on, out, made);
        return run_failed(on) ? NULL : made;
    }
    tensor logits =
        first ? head_of_sequences(from, on, out->rows, &out->packed) : head_forward(from, on, out->rows, NULL, count);
    if (run_failed(on)) return NULL;
    for (size_t i = 0; i < count; i++) memcpy(made + i * columns, tensor_row(logits, i), columns * sizeof *made);
    return made;
}

rubato_status engine_check(const float *values, size_t count, rubato_error *error) {
    return all_finite(values, count)
               ? RUBATO_OK
               : fail(error, RUBATO_BAD_MODEL, "the model's result is not a number; its weights are damaged");
}

/* The point as it ran for the sequence of that number: layers after its exit are skipped. left NULL: it ran to the
 * end. */
static point until(const point *at, const exit_session *left, size_t number, size_t length) {
    point mine = *at;
    size_t left_after = left ? left->left_after[number] : 0;
    for (size_t i = 0; i < mine.layers; i++) {
        mine.alive[i] = mine.present[i] = left_after == 0 || i < left_after;
        if (left && left->ran)
            mine.alive[i] = (float)left->ran[i * left->input->sequences + number] / (float)size_max(length, 1);
    }
    for (size_t i = left_after; left_after && i < mine.layers; i++) mine.skip[i] = true;
    return mine;
}

void engine_exits(const rubato_model *model, head_kind kind, const point *at, const run *on, const batch *packed,
                  exit_session *session, exit_session **left, thinning *thin) {
    *left = NULL;
    if (!at || !at->exit.rule || kind == HEAD_COUNT || kind != engine_main_head(model)) return;
    *left = session;
    thin->depart = exit_session_decide;
    thin->depart_user = session;
    thin->depart_rows = at->exit.by_token;
    exit_session_begin(session, &model->exits, &model->heads[kind], &at->exit, on, packed);
}

/* The cost of one window. */
typedef struct window_cost {
    double flops, full_flops, ms;
    size_t layers, *rows; /* [layers] */
} window_cost;

/* Its rows are NULL when memory is short. */
static window_cost cost_of(const running *all, const run *on, const unit *u, const exit_session *left, size_t number) {
    const rubato_model *model = all->context->model;
    head_kind kind = all->work->head;
    size_t length = u->window->length, entry = 0;
    double after = kind == HEAD_COUNT ? 0 : head_flops(&model->heads[kind], one_row(kind) ? 1 : length, length);
    point mine;
    const point *ran = NULL;
    if (u->at) {
        mine = until(u->at, left, number, length);
        ran = &mine;
    }
    window_cost cost = {.full_flops = encoder_flops(&model->body, NULL, length) + after,
                        .layers = ran ? point_depth(ran) : model->body.depth};
    cost.flops = ran ? engine_flops(model, ran, length) + after : cost.full_flops;
    cost.rows = run_take(on, cost.layers, sizeof *cost.rows);
    for (layer_walk at = walk_layers(ran, &model->body.shape, length); cost.rows && walk_next(&at);)
        cost.rows[entry++] =
            left && left->ran ? left->ran[at.layer * left->input->sequences + number] : at.rows.queries;
    return cost;
}

/* Adds it to the cost of the input, which may have several windows. */
static void add_cost(rubato_costs *all, const unit *u, const window_cost *of) {
    rubato_cost *to = &all->items[u->input];
    size_t *rows = all->rows + u->input * all->layers;
    if (u->at) to->point = u->at->name;
    to->flops += of->flops;
    to->full_flops += of->full_flops;
    to->flops_ratio = to->flops / to->full_flops;
    to->layers = size_max(to->layers, of->layers);
    to->tokens += u->window->length;
    for (size_t i = 0; i < of->layers; i++) rows[i] += of->rows[i];
    to->ms += of->ms;
}

static rubato_status run_batch(running *all, size_t number, const run *on, rubato_error *error) {
    const unit *units = all->units + all->cuts[number];
    size_t count = all->cuts[number + 1] - all->cuts[number], rows = 0;
    double begin = clock_ms();
    for (size_t i = 0; i < count; i++) rows += units[i].window->length;
    size_t *start = run_take(on, count + 1, sizeof *start);
    int32_t *ids = run_take(on, rows, sizeof *ids), *types = run_take(on, rows, sizeof *types);
    TRY(run_result(on, error));
    start[0] = 0;
    for (size_t i = 0; i < count; i++) {
        const rubato_window *window = units[i].window;
        if (window->length) {
            memcpy(ids + start[i], window->ids, window->length * sizeof *ids);
            memcpy(types + start[i], window->types, window->length * sizeof *types);
        }
        start[i + 1] = start[i] + window->length;
    }
    batch packed = {count, rows, start, ids, types};
    encoded out;
    const rubato_model *model = all->context->model;
    const point *at = units[0].at;
    thinning thin = engine_thinning(model, all->work->head, at);
    exit_session session, *left;
    engine_exits(model, all->work->head, at, on, &packed, &session, &left, &thin);
    exit_trail *trail = left ? all->context->trail : NULL;
    if (trail) exit_session_record(left, on);
    encoder_forward(&model->body, on, &packed, &thin, &out);
    TRY(encoder_result(&model->body, on, &thin, error));
    if (trail) exit_trail_take(trail, left, units, count);
    if (all->work->take) TRY(all->work->take(all->work->user, on, &out, left, units, error));
    double ms = clock_ms() - begin;
    if (!all->work->costs) return RUBATO_OK;
    window_cost *costs = run_take(on, count, sizeof *costs);
    if (!costs) return fail_memory(error);
    for (size_t i = 0; i < count; i++) {
        costs[i] = cost_of(all, on, &units[i], left, i);
        costs[i].ms = rows ? ms * (double)units[i].window->length / (double)rows : 0;
    }
    TRY(run_result(on, error));
    pthread_mutex_lock(&all->first->lock); /* windows of one input may run on several threads */
    for (size_t i = 0; i < count; i++) add_cost(*all->work->costs, &units[i], &costs[i]);
    pthread_mutex_unlock(&all->first->lock);
    return RUBATO_OK;
}

static void run_batches(running *all, size_t member, team *crew) {
    const rubato_options *options = all->work->options;
    arena *memory = &all->context->workers[member].memory;
    for (;;) {
        size_t number = atomic_fetch_add(&all->next, 1);
        if (number >= all->batches || atomic_load(&all->first->any)) return;
        rubato_error error = {0};
        rubato_status passed = RUBATO_OK;
        const run on = {.kernels = all->context->kernels,
                        .crew = crew,
                        .memory = memory,
                        .status = &passed,
                        .observer = all->context->observer,
                        .watch = all->context->watch};
        rubato_status status = run_batch(all, number, &on, &error);
        arena_reset(memory);
        size_t done = all->cuts[number + 1] - all->cuts[number];
        done += atomic_fetch_add(&all->done, done);
        if (status == RUBATO_OK && member == 0 && options && options->progress &&
            options->progress(options->progress_user, done, all->unit_count))
            status = fail(&error, RUBATO_CANCELLED, "cancelled");
        if (status != RUBATO_OK) note_error(all->first, status, &error, SIZE_MAX - 1);
    }
}

static void run_own_batches(void *argument, size_t member, size_t members) {
    (void)members;
    run_batches(argument, member, NULL);
}

/* Cuts the sorted units into batches of nearly equal rows; their number is a multiple of the number of threads. */
static rubato_status cut_batches(running *all, rubato_error *error) {
    size_t rows = 0, threads = team_size(all->context->crew), most = all->context->batch_tokens;
    for (size_t i = 0; i < all->unit_count; i++) rows += all->units[i].window->length;
    all->shared = threads > 1 && (all->unit_count < threads || rows < ENGINE_LEAST_ROWS * threads);
    size_t wanted = divide_up(size_max(rows, 1), most);
    if (!all->shared) wanted = round_up(wanted, threads);
    size_t target = size_min(divide_up(size_max(rows, 1), wanted), most);
    all->cuts = calloc(all->unit_count + 2, sizeof *all->cuts);
    if (!all->cuts) return fail_memory(error);
    size_t in_batch = 0;
    for (size_t i = 0; i < all->unit_count; i++) {
        size_t length = all->units[i].window->length;
        /* a batch is closed where its size is then nearer to the target than with the next unit */
        bool other_point = i > 0 && all->units[i].at != all->units[i - 1].at;
        if (in_batch > 0 && (other_point || in_batch + length > most || in_batch + length / 2 > target)) {
            all->cuts[++all->batches] = i;
            in_batch = 0;
        }
        in_batch += length;
    }
    if (all->unit_count) all->cuts[++all->batches] = all->unit_count;
    return RUBATO_OK;
}

static rubato_status collect_units(const job *work, unit **units, size_t *count, rubato_error *error) {
    *count = 0;
    for (size_t i = 0; i < work->count; i++) *count += work->encodings[i]->count;
    *units = calloc(size_max(*count, 1), sizeof **units);
    if (!*units) return fail_memory(error);
    size_t at = 0;
    for (size_t i = 0; i < work->count; i++)
        for (size_t j = 0; j < work->encodings[i]->count; j++)
            (*units)[at++] = (unit){&work->encodings[i]->windows[j], i, j, NULL};
    return RUBATO_OK;
}

static rubato_status begin_costs(const job *work, size_t layers, rubato_error *error) {
    if (!work->costs) return RUBATO_OK;
    TRY(costs_create(work->costs, work->count, layers, error));
    for (size_t i = 0; i < work->count; i++) {
        (*work->costs)->items[i].cut = work->encodings[i]->cut;
        (*work->costs)->items[i].windows = work->encodings[i]->count;
    }
    return RUBATO_OK;
}

void engine_release(job *work) {
    for (size_t i = 0; work->encodings && i < work->count; i++)
        engine_encoding_free(&work->inputs[i], work->encodings[i]);
    free((void *)work->encodings);
    work->encodings = NULL;
}

/* The first failure, if there is one. */
static rubato_status told(first_error *first, size_t count, rubato_error *error) {
    rubato_status status = first->status;
    if (status != RUBATO_OK && error) {
        *error = first->error;
        error->line = first->index < count ? first->index + 1 : 0;
    }
    pthread_mutex_destroy(&first->lock);
    return status;
}

rubato_status engine_run_units(rubato_context *context, job *work, unit *units, size_t count, rubato_error *error) {
    first_error first = {.lock = PTHREAD_MUTEX_INITIALIZER};
    running all = {.context = context, .work = work, .units = units, .unit_count = count, .first = &first};
    if (count) qsort(units, count, sizeof *units, by_length);
    TRY(cut_batches(&all, error));
    if (all.shared)
        run_batches(&all, 0, context->crew);
    else
        team_run(context->crew, run_own_batches, &all);
    free(all.cuts);
    return told(&first, work->count, error);
}

static rubato_status tokenize_all(rubato_context *context, job *work, rubato_error *error) {
    first_error first = {.lock = PTHREAD_MUTEX_INITIALIZER};
    tokenizing texts = {.context = context, .work = work, .first = &first};
    if (work->count < 32)
        tokenize_some(&texts, 0, 1);
    else
        team_run(context->crew, tokenize_some, &texts);
    return told(&first, work->count, error);
}

rubato_status engine_run(rubato_context *context, job *work, rubato_error *error) {
    unit *units = NULL;
    size_t count;
    budget wanted;
    rubato_status status;
    work->encodings = calloc(size_max(work->count, 1), sizeof *work->encodings);
    if (!work->encodings) return fail_memory(error);
    TRY_DONE(tokenize_all(context, work, error));
    TRY_DONE(begin_costs(work, context->model->body.depth, error));
    TRY_DONE(collect_units(work, &units, &count, error));
    TRY_DONE(engine_budget(context, work->options, &wanted, error));
    for (size_t i = 0; i < count; i++) {
        status = engine_point(&units[i].at, context, &wanted, units[i].window->length, error);
        if (status != RUBATO_OK && error) error->line = units[i].input + 1;
        if (status != RUBATO_OK) goto done;
    }
    TRY_DONE(engine_run_units(context, work, units, count, error));
done:
    free(units);
    if (!work->keep || status != RUBATO_OK) engine_release(work);
    return costs_end(work->costs, status);
}
