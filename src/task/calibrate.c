/* rubato_calibrate: how long a layer's parts take on this machine, for budgets in milliseconds. Kept in the user's
 * cache, one file for each processor, instruction set, number of threads and model shape. */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/order.h"
#include "base/random.h"
#include "task/context.h"
#include "task/machine.h"

enum { ROUNDS = 9, MAX_FILE = 1 << 20 };

static const size_t row_samples[] = {1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512};
static const size_t length_samples[] = {1, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512};
enum {
    ROW_SAMPLES = sizeof row_samples / sizeof row_samples[0],
    LENGTH_SAMPLES = sizeof length_samples / sizeof length_samples[0]
};

/* ---- Where it is kept ---- */

static uint64_t hash_text(uint64_t hash, const char *text) {
    for (; *text; text++) hash = random_hash(hash ^ (unsigned char)*text);
    return hash;
}

/* Layers of another mechanism, or of another setting, take other times. The default one is not named. */
static uint64_t hash_part(uint64_t hash, const part_choice *part, const part_table *all) {
    char text[256];
    part_describe(part, text, sizeof text);
    return strcmp(text, all->kinds[0]->name) == 0 ? hash : hash_text(hash, text);
}

static rubato_status cache_path(const rubato_context *context, char *out, size_t bytes, rubato_error *error) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const encoder_config *config = &context->model->body.config;
    char processor[96];
    machine_processor(processor, sizeof processor);
    uint64_t hash = 0;
    hash = hash_text(hash, processor);
    hash = hash_part(hash, &config->attention, &attending_table);
    hash = hash_part(hash, &config->feeding, &feeding_table);
    int written = snprintf(out, bytes, "%s%s/rubato/cost-%s-%s-%zut-%zux%zux%zux%zu-%zur-%08x.json",
                           cache && *cache ? cache
                           : home          ? home
                                           : "",
                           cache && *cache ? "" : "/.cache", context->kernels->name, context->model->info.precision,
                           team_size(context->crew), context->model->body.depth, config->hidden, config->inner,
                           config->heads, context->batch_tokens, (unsigned)(hash & 0xffffffff));
    if (written < 0 || (size_t)written >= bytes || out[0] != '/')
        return fail(error, RUBATO_IO, "no folder for caches: HOME and XDG_CACHE_HOME say nothing usable");
    return RUBATO_OK;
}

/* ---- Files ---- */

static const struct {
    const char *name;
    size_t offset;
} curves[] = {{"attention", offsetof(cost_parts, attention)},
              {"forward", offsetof(cost_parts, forward)},
              {"heads", offsetof(cost_parts, heads)},
              {"outside", offsetof(cost_parts, outside)}};

static json_t *write_parts(const cost_parts *parts) {
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        const cost_curve *curve = (const cost_curve *)(const void *)((const char *)parts + curves[i].offset);
        json_t *list = json_array();
        for (size_t j = 0; j < curve->count; j++)
            json_array_append_new(list, json_pack("[ff]", curve->x[j], curve->ms[j]));
        json_object_set_new(object, curves[i].name, list);
    }
    return object;
}

static rubato_status read_parts(cost_parts *parts, const json_t *object, rubato_error *error) {
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        cost_curve *curve = (cost_curve *)(void *)((char *)parts + curves[i].offset);
        const json_t *list = json_object_get(object, curves[i].name);
        curve->count = json_array_size(list);
        if (curve->count == 0 || curve->count > COST_SAMPLES)
            return fail(error, RUBATO_BAD_DATA, "cost model: curve \"%s\" is missing or too long", curves[i].name);
        for (size_t j = 0; j < curve->count; j++) {
            const json_t *pair = json_array_get(list, j);
            curve->x[j] = json_number_value(json_array_get(pair, 0));
            curve->ms[j] = json_number_value(json_array_get(pair, 1));
            if (!(curve->ms[j] >= 0) || !isfinite(curve->ms[j]) || (j && !(curve->x[j] > curve->x[j - 1])))
                return fail(error, RUBATO_BAD_DATA, "cost model: curve \"%s\" is damaged", curves[i].name);
        }
    }
    return RUBATO_OK;
}

rubato_status rubato_calibration_load(rubato_context *context, rubato_error *error) {
    char path[4200];
    json_t *object = NULL;
    if (context->times) return RUBATO_OK;
    rubato_status status = cache_path(context, path, sizeof path, error);
    if (status == RUBATO_OK && !file_exists(path))
        return fail(error, RUBATO_NOT_FOUND,
                    "no cost model of %s with %zu threads on this machine; run rubato calibrate first",
                    context->model->path, team_size(context->crew));
    if (status == RUBATO_OK) status = json_read_file(&object, path, MAX_FILE, error);
    cost_model *made = calloc(1, sizeof *made);
    if (status == RUBATO_OK && !made) status = fail_memory(error);
    if (status == RUBATO_OK) {
        *made = (cost_model){
            .threads = team_size(context->crew), .batch_rows = context->batch_tokens, .least_rows = ENGINE_LEAST_ROWS};
        status = read_parts(&made->alone, json_object_get(object, "alone"), error);
    }
    if (status == RUBATO_OK) status = read_parts(&made->together, json_object_get(object, "together"), error);
    const json_t *low = json_object_get(object, "narrow");
    if (status == RUBATO_OK && low) {
        made->has_low = true;
        status = read_parts(&made->low_alone, json_object_get(low, "alone"), error);
        if (status == RUBATO_OK) status = read_parts(&made->low_together, json_object_get(low, "together"), error);
    }
    json_decref(object);
    if (status != RUBATO_OK) {
        free(made);
        return fail_within(error, status, path);
    }
    context->times = made;
    return RUBATO_OK;
}

/* ---- Measuring ---- */

typedef struct measuring {
    const rubato_context *context;
    size_t rows; /* or the length of a sequence */
    bool low;    /* in the lower of two precisions */
    double first[ROUNDS], second[ROUNDS];
    rubato_status status;
} measuring;

/* Rows of made-up states, as sequences of at most the model's length. */
typedef struct made_up {
    tensor x;
    batch packed;
} made_up;

static made_up make_up(const encoder *body, const run *on, size_t rows) {
    size_t sequences = divide_up(rows, encoder_max_length(&body->config));
    size_t *start = run_take(on, sequences + 1, sizeof *start);
    int32_t *types = run_take(on, rows, sizeof *types);
    made_up out = {.x = run_tensor(on, rows, body->config.hidden)};
    if (run_failed(on)) return out;
    for (size_t i = 0; i <= sequences; i++) start[i] = rows * i / sequences;
    memset(types, 0, rows * sizeof *types);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < out.x.columns; j++)
            tensor_row(out.x, i)[j] = (float)((i * 31 + j * 17) % 13) / 13 - 0.5f;
    out.packed = (batch){.sequences = sequences, .rows = rows, .start = start, .types = types};
    return out;
}

/* All layers in turn, so that weights come from where they come from in a forward pass. Three times of a layer in the
 * mean: attention without its heads, its heads, the feed-forward part. */
static void run_layers(const encoder *body, const run *whole, const made_up *what, double out[3]) {
    profile spent = {0};
    run on = *whole;
    on.profile = &spent;
    double attending_ms = 0, feeding_ms = 0;
    tensor x = what->x;
    for (size_t i = 0; i < body->depth; i++) {
        const layer *one = &body->layers[body->order[i]];
        arena_mark mark = arena_save(on.memory);
        attending_input in = {
            .layer = i, .heads = one->heads, .x = x, .asking = x, .sequences = &what->packed, .input = &what->packed};
        double begin = clock_ms();
        tensor y = layer_attend(one, &on, &in);
        double middle = clock_ms();
        x = layer_feed(one, &on, y, one->inner, x);
        attending_ms += middle - begin;
        feeding_ms += clock_ms() - middle;
        arena_rewind(on.memory, mark);
    }
    out[0] = (attending_ms - spent.ms[PART_HEADS]) / (double)body->depth;
    out[1] = spent.ms[PART_HEADS] / (double)body->depth;
    out[2] = feeding_ms / (double)body->depth;
}

static void time_layers(measuring *m, const run *on, bool keep) {
    const encoder *body = &m->context->model->body;
    arena_mark mark = arena_save(on->memory);
    made_up what = make_up(body, on, m->rows);
    size_t rounds = m->rows <= 64 ? 4 * ROUNDS : ROUNDS;
    for (size_t round = 0; round < rounds && !run_failed(on); round++) {
        double ms[3];
        run_layers(body, on, &what, ms);
        if (!keep) continue;
        m->first[round % ROUNDS] = ms[0];
        m->second[round % ROUNDS] = ms[2];
    }
    arena_rewind(on->memory, mark);
}

static void time_heads(measuring *m, const run *on, bool keep) {
    const encoder *body = &m->context->model->body;
    arena_mark mark = arena_save(on->memory);
    made_up what = make_up(body, on, m->rows);
    for (size_t round = 0; round < ROUNDS && !run_failed(on); round++) {
        double ms[3];
        run_layers(body, on, &what, ms);
        if (keep) m->first[round] = ms[1];
    }
    arena_rewind(on->memory, mark);
}

/* Embeddings alone: a point at which no layer runs. */
static void time_outside(measuring *m, const run *on, bool keep) {
    const encoder *body = &m->context->model->body;
    size_t most = encoder_max_length(&body->config), sequences = divide_up(m->rows, most);
    point nothing = point_full(size_min(body->depth, POINT_LAYERS));
    for (size_t i = 0; i < nothing.layers; i++) nothing.skip[i] = true;
    thinning how = {.point = &nothing};
    arena_mark mark = arena_save(on->memory);
    size_t *start = run_take(on, sequences + 1, sizeof *start);
    int32_t *ids = run_take(on, m->rows, sizeof *ids);
    int32_t *types = run_take(on, m->rows, sizeof *types);
    if (run_failed(on)) return;
    for (size_t i = 0; i <= sequences; i++) start[i] = m->rows * i / sequences;
    for (size_t i = 0; i < m->rows; i++) ids[i] = (int32_t)(i * 7919 % body->config.vocabulary);
    memset(types, 0, m->rows * sizeof *types);
    batch packed = {sequences, m->rows, start, ids, types};
    for (size_t round = 0; round < ROUNDS; round++) {
        encoded out;
        double begin = clock_ms();
        arena_mark inner = arena_save(on->memory);
        encoder_forward(body, on, &packed, &how, &out);
        arena_rewind(on->memory, inner);
        if (keep) m->first[round] = clock_ms() - begin;
    }
    arena_rewind(on->memory, mark);
}

typedef void time_function(measuring *m, const run *on, bool keep);

typedef struct alone_work {
    measuring start, *result;
    time_function *time;
    atomic_bool *failed; /* on another thread than the first */
} alone_work;

/* Every thread runs the same at once, as it does when each has batches of its own; the first one's times count. */
static void time_alone(void *argument, size_t member, size_t members) {
    const alone_work *work = argument;
    measuring own = work->start;
    run on = {.kernels = own.context->kernels,
              .memory = &own.context->workers[member].memory,
              .status = &own.status,
              .low = own.low};
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

/* How parts are measured. */
typedef struct manner {
    bool together, low;
} manner;

static rubato_status measure_one(const rubato_context *context, manner how, time_function *time, size_t rows,
                                 cost_curve *first, cost_curve *second, rubato_error *error) {
    measuring m = {.context = context, .rows = rows, .low = how.low};
    if (how.together) {
        run on = {.kernels = context->kernels,
                  .crew = context->crew,
                  .memory = &context->workers[0].memory,
                  .status = &m.status,
                  .low = how.low};
        time(&m, &on, true);
    } else {
        atomic_bool failed = false;
        alone_work work = {m, &m, time, &failed};
        team_run(context->crew, time_alone, &work);
        if (atomic_load(&failed)) return fail_memory(error);
    }
    if (m.status == RUBATO_OUT_OF_MEMORY) return fail_memory(error);
    add_sample(first, (double)rows, m.first);
    if (second) add_sample(second, (double)rows, m.second);
    return RUBATO_OK;
}

static rubato_status measure_parts(const rubato_context *context, manner how, cost_parts *parts,
                                   const rubato_calibrate_options *options, size_t *done, size_t total,
                                   rubato_error *error) {
    size_t most = encoder_max_length(&context->model->body.config);
    *parts = (cost_parts){0};
    for (size_t i = 0; i < ROW_SAMPLES + LENGTH_SAMPLES; i++) {
        bool row = i < ROW_SAMPLES;
        size_t x = row ? row_samples[i] : length_samples[i - ROW_SAMPLES];
        if (row) {
            TRY(measure_one(context, how, time_layers, x, &parts->attention, &parts->forward, error));
            TRY(measure_one(context, how, time_outside, x, &parts->outside, NULL, error));
        } else if (x <= most) {
            TRY(measure_one(context, how, time_heads, x, &parts->heads, NULL, error));
        }
        if (options && options->progress && options->progress(options->progress_user, ++*done, total))
            return fail(error, RUBATO_CANCELLED, "cancelled");
    }
    return RUBATO_OK;
}

rubato_status rubato_calibrate(rubato_context *context, const rubato_calibrate_options *options, rubato_error *error) {
    char path[4200];
    bool both = encoder_has_both(&context->model->body);
    size_t done = 0, total = (both ? 4 : 2) * (ROW_SAMPLES + LENGTH_SAMPLES);
    cost_model *made = calloc(1, sizeof *made);
    if (!made) return fail_memory(error);
    *made = (cost_model){.threads = team_size(context->crew),
                         .batch_rows = context->batch_tokens,
                         .least_rows = ENGINE_LEAST_ROWS,
                         .has_low = both};
    cost_parts *const parts[] = {&made->alone, &made->together, &made->low_alone, &made->low_together};
    rubato_status status = cache_path(context, path, sizeof path, error);
    for (size_t i = 0; i < (both ? 4 : 2) && status == RUBATO_OK; i++)
        status =
            measure_parts(context, (manner){.together = i % 2, .low = i >= 2}, parts[i], options, &done, total, error);
    for (size_t i = 0; i < team_size(context->crew); i++) arena_reset(&context->workers[i].memory);
    if (status == RUBATO_OK) {
        json_t *object =
            json_pack("{s:o, s:o}", "alone", write_parts(&made->alone), "together", write_parts(&made->together));
        if (object && both)
            json_object_set_new(object, "narrow",
                                json_pack("{s:o, s:o}", "alone", write_parts(&made->low_alone), "together",
                                          write_parts(&made->low_together)));
        char folder[4200];
        new_file file;
        snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
        status = object ? folder_create(folder, error) : fail_memory(error);
        if (status == RUBATO_OK) status = new_file_open(&file, path, error);
        if (status == RUBATO_OK) {
            json_dumpf(object, file.stream, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
            status = new_file_commit(&file, error);
        }
        json_decref(object);
    }
    if (status != RUBATO_OK) {
        free(made);
        return status;
    }
    free(context->times);
    context->times = made;
    return RUBATO_OK;
}

double rubato_predict_ms(const rubato_context *context, const char *point_name, size_t length, size_t count) {
    const rubato_model *model = context->model;
    const point *at = NULL;
    for (size_t i = 0; point_name && i < model->points.count; i++)
        if (strcmp(model->points.points[i].name, point_name) == 0) at = &model->points.points[i];
    return context->times ? cost_model_ms(context->times, at, &model->body.shape, length, count) : NAN;
}
