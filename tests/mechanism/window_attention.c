/* Attention within a sliding window, in plain loops. */
#include "window_attention.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "attention/block.h"
#include "attention/projections.h"
#include "base/checked.h"
#include "tensor/tape.h"

typedef struct window_weights {
    projections with;
    const window_setting *setting;
    float *slope; /* [heads]; NULL: there are none */
    table slopes; /* as stored */
} window_weights;

/* ---- Setting ---- */

_Static_assert(sizeof(window_setting) <= SETTING_BYTES, "a setting fits");

static rubato_status configure(void *setting, const json_t *json, rubato_error *error) {
    window_setting *self = setting;
    TRY(json_get_size(&self->reach, json, "window", 0, error));
    TRY(json_get_bool(&self->sloped, json, "sloped", false, error));
    return self->reach ? RUBATO_OK : fail(error, RUBATO_BAD_MODEL, "a window of 0 rows");
}

static rubato_status note(const void *setting, json_t *json, rubato_error *error) {
    const window_setting *self = setting;
    int failed = json_object_set_new(json, "window", json_integer((json_int_t)self->reach));
    if (self->sloped) failed |= json_object_set_new(json, "sloped", json_true());
    return failed ? fail_memory(error) : RUBATO_OK;
}

static void describe(const void *setting, char *out, size_t bytes) {
    const window_setting *self = setting;
    snprintf(out, bytes, "%zu rows%s", self->reach, self->sloped ? ", sloped" : "");
}

static rubato_status load(void **out, const part_source *from) {
    window_weights *self = arena_take(from->load->with.memory, sizeof *self);
    if (!self) return fail_memory(from->load->error);
    *self = (window_weights){.setting = from->setting};
    *out = self;
    return projections_load(&self->with, from);
}

static rubato_status load_terms(void *weights, const part_source *from) {
    window_weights *self = weights;
    char name[LOADER_NAME];
    if (!self->setting->sloped) return RUBATO_OK;
    part_name_beside(name, from, from->names->query, "slopes");
    TRY(loader_stored(from->load, &self->slopes, BOUND_BUFFER, name, 1, from->heads));
    self->slope = arena_take_array(from->load->with.memory, from->heads, sizeof *self->slope);
    if (!self->slope) return fail_memory(from->load->error);
    table_read(&self->slopes, 0, 1, self->slope);
    return RUBATO_OK;
}

/* Slopes have heads of their own. */
static bool sortable(const void *setting) {
    const window_setting *self = setting;
    return !self->sloped;
}

/* ---- Running ---- */

/* One pass; what the tape keeps. */
typedef struct windows {
    const window_weights *self;
    attending_input in;
    projected rows;
    tensor mixed;
    size_t longest;
    uint64_t mask; /* of dropout; 0: none */
    float scale;
} windows;

typedef struct work {
    const windows *pass;
    const run *on;
    float *scratch; /* [members][2 longest] */
} work;

/* The keys that a query sees, and its probabilities for them. */
typedef struct view {
    size_t first, count;
    float *p; /* [count] */
} view;

static view look(const work *w, size_t sequence, size_t head, size_t query, float *room) {
    const windows *pass = w->pass;
    const attending_input *in = &pass->in;
    size_t start = in->sequences.start[sequence], end = in->sequences.start[sequence + 1];
    size_t size = pass->self->with.head_size, reach = pass->self->setting->reach;
    long place = (long)attending_place(in, sequence, in->query_origin, query);
    view seen = {.p = room};
    for (size_t key = start; key < end; key++) {
        long distance = labs((long)attending_place(in, sequence, in->origin, key) - place);
        if ((size_t)distance > reach) continue;
        if (seen.count == 0) seen.first = key;
        float score = w->on->kernels->dot_f32(tensor_row(pass->rows.query, query) + head * size,
                                              tensor_row(pass->rows.key, key) + head * size, size);
        float slope = pass->self->slope ? pass->self->slope[head] : 0;
        seen.p[seen.count++] = score * pass->scale - slope * (float)distance;
    }
    if (seen.count) w->on->kernels->softmax_f32(seen.p, seen.count);
    return seen;
}

static void drop(const work *w, size_t head, size_t query, float *p, size_t count) {
    const windows *pass = w->pass;
    if (pass->mask)
        block_dropout(w->on, pass->mask, p, 0, 1, count, block_place(head, query, pass->in.queries.rows, pass->longest),
                      pass->longest);
}

static void some_forward(void *argument, size_t member, size_t first, size_t last) {
    const work *w = argument;
    const windows *pass = w->pass;
    size_t heads = pass->in.heads, size = pass->self->with.head_size;
    for (size_t unit = first; unit < last; unit++) {
        size_t sequence = unit / heads, head = unit % heads;
        for (size_t q = pass->in.queries.start[sequence]; q < pass->in.queries.start[sequence + 1]; q++) {
            view seen = look(w, sequence, head, q, w->scratch + member * 2 * pass->longest);
            float *out = tensor_row(pass->mixed, q) + head * size;
            drop(w, head, q, seen.p, seen.count);
            for (size_t j = 0; j < size; j++) out[j] = 0;
            for (size_t k = 0; k < seen.count; k++)
                for (size_t j = 0; j < size; j++)
                    out[j] += seen.p[k] * tensor_row(pass->rows.value, seen.first + k)[head * size + j];
        }
    }
}

static void query_backward(const work *w, size_t sequence, size_t head, size_t q, float *room) {
    const windows *pass = w->pass;
    size_t size = pass->self->with.head_size, column = head * size;
    view seen = look(w, sequence, head, q, room);
    float *d = room + pass->longest, sum = 0;
    const float *out = tensor_grad(pass->mixed, q) + column;
    for (size_t k = 0; k < seen.count; k++) d[k] = 1;
    drop(w, head, q, d, seen.count);
    for (size_t k = 0; k < seen.count; k++) {
        const float *value = tensor_row(pass->rows.value, seen.first + k) + column;
        float *value_grad = tensor_grad(pass->rows.value, seen.first + k) + column;
        for (size_t j = 0; j < size; j++) value_grad[j] += seen.p[k] * d[k] * out[j];
        d[k] *= w->on->kernels->dot_f32(out, value, size);
        sum += seen.p[k] * d[k];
    }
    for (size_t k = 0; k < seen.count; k++) {
        float through = seen.p[k] * (d[k] - sum) * pass->scale;
        for (size_t j = column; j < column + size; j++) {
            tensor_grad(pass->rows.query, q)[j] += through * tensor_row(pass->rows.key, seen.first + k)[j];
            tensor_grad(pass->rows.key, seen.first + k)[j] += through * tensor_row(pass->rows.query, q)[j];
        }
    }
}

static void some_backward(void *argument, size_t member, size_t first, size_t last) {
    const work *w = argument;
    const attending_input *in = &w->pass->in;
    for (size_t unit = first; unit < last; unit++)
        for (size_t q = in->queries.start[unit / in->heads]; q < in->queries.start[unit / in->heads + 1]; q++)
            query_backward(w, unit / in->heads, unit % in->heads, q, w->scratch + member * 2 * w->pass->longest);
}

static void run_heads(const run *on, const windows *pass, run_share *share) {
    work w = {pass, on, run_take(on, team_size(on->crew) * 2 * pass->longest, sizeof(float))};
    if (!run_failed(on)) run_parallel(on, pass->in.sequences.sequences * pass->in.heads, 1, share, &w);
}

static void backward(const run *on, void *saved) {
    run_heads(on, saved, some_backward);
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    const window_weights *self = weights;
    windows pass = {.self = self,
                    .in = *in,
                    .rows = projections_read(&self->with, on, in, false),
                    .mixed = run_tensor(on, in->query_rows.rows, in->heads * self->with.head_size),
                    .longest = batch_longest(&in->sequences),
                    .scale = 1 / sqrtf((float)self->with.head_size)};
    double begin = run_begin(on);
    if (on->tape && on->tape->attention_rate > 0) pass.mask = tape_mask(on->tape);
    run_heads(on, &pass, some_forward);
    windows *saved = on->tape ? tape_push(on, backward, sizeof *saved) : NULL;
    if (saved) *saved = pass;
    run_end(on, PART_HEADS, begin);
    projections_write(&self->with, on, in, pass.mixed, out);
}

/* ---- Costs ---- */

static double products(const window_setting *setting, double keys, double queries, double width) {
    return 4 * queries * fmin(keys, (double)(2 * setting->reach + 1)) * width;
}

static operations count(const void *setting, const part_extent *of) {
    operations sum = projections_count(of);
    sum.queries +=
        products(setting, (double)of->rows.entering, (double)of->rows.queries, (double)(of->units * of->unit_size));
    return sum;
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    const window_weights *self = weights;
    double rows = (double)(sequences * length), width = (double)(self->with.heads * self->with.head_size);
    (void)kernels;
    return projections_demand(&self->with, products(self->setting, (double)length, rows, width), sequences, length);
}

const attending attending_window = {
    .part = {.name = "window", .foreign = true, .configure = configure, .note = note, .describe = describe},
    .fewer_queries = true,
    .narrows = true,
    .load = load,
    .load_terms = load_terms,
    .allow_narrow = projections_allow_narrow,
    .sortable = sortable,
    .forward = forward,
    .visit = projections_visit,
    .count = count,
    .demand = demand};
