/* With n tokens and m landmarks, the means of m segments of the queries, and of the keys, as near to equal as whole
 * tokens allow, attention is
 *
 *   softmax(Q K~^T) Z softmax(Q~ K^T) V,   Z = about the inverse of softmax(Q~ K~^T) (nystrom_inverse.h),
 *
 * in 4 n m operations for a feature instead of 4 n^2; all scores are divided by the root of a head's size. A text of at
 * most m tokens has dense attention. Each head may add a convolution of its values over neighbouring tokens, whose
 * taps its features share. */
#include "attention/nystrom_attention.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attention/gathered.h"
#include "attention/nystrom_inverse.h"
#include "base/checked.h"
#include "tensor/tape.h"

_Static_assert(sizeof(nystrom_setting) <= SETTING_BYTES, "a setting fits");

typedef struct nystrom_weights {
    projections with; /* first, as projections.h has it */
    const nystrom_setting *setting;
    table taps; /* [heads, taps] */
} nystrom_weights;

/* ---- Setting ---- */

enum { LANDMARKS = 64, MOST_LANDMARKS = 1 << 10, MOST_TAPS = (1 << 12) - 1 };

rubato_status nystrom_check(const nystrom_setting *self, rubato_error *error) {
    if (self->landmarks > MOST_LANDMARKS)
        return fail(error, RUBATO_BAD_MODEL, "Nystrom attention with %zu landmarks; at most %d are possible",
                    self->landmarks, MOST_LANDMARKS);
    if (self->taps > MOST_TAPS || (self->taps && self->taps % 2 == 0))
        return fail(error, RUBATO_BAD_MODEL,
                    "Nystrom attention with a convolution of %zu taps; odd numbers up to %d are possible", self->taps,
                    MOST_TAPS);
    return RUBATO_OK;
}

static rubato_status configure(void *setting, const json_t *json, rubato_error *error) {
    nystrom_setting *self = setting;
    TRY(json_get_size(&self->landmarks, json, "landmarks", LANDMARKS, error));
    TRY(json_get_size(&self->taps, json, "taps", 0, error));
    return nystrom_check(self, error);
}

static rubato_status note(const void *setting, json_t *json, rubato_error *error) {
    const nystrom_setting *self = setting;
    TRY(json_set(json, "landmarks", json_integer((json_int_t)self->landmarks), error));
    return json_set(json, "taps", json_integer((json_int_t)self->taps), error);
}

static void describe(const void *setting, char *out, size_t bytes) {
    const nystrom_setting *self = setting;
    const int at = self->landmarks ? snprintf(out, bytes, "%zu landmarks", self->landmarks)
                                   : snprintf(out, bytes, "dense, without landmarks");
    if (self->taps && at > 0 && (size_t)at < bytes) snprintf(out + at, bytes - (size_t)at, ", %zu taps", self->taps);
}

/* ---- Loading ---- */

static rubato_status load(void **out, const part_source *from) {
    nystrom_weights *self = arena_take(from->load->with.memory, sizeof *self);
    if (!self) return fail_memory(from->load->error);
    *self = (nystrom_weights){.setting = from->setting};
    *out = self;
    return projections_load(&self->with, from);
}

static rubato_status load_terms(void *weights, const part_source *from) {
    nystrom_weights *self = weights;
    char name[LOADER_NAME];
    if (!self->setting->taps) return RUBATO_OK;
    part_name_beside(name, from, from->names->query, "conv.weight");
    TRY(loader_spread(from->load, &self->taps, name, from->heads, self->setting->taps, 0.02));
    if (from->load->bound) from->load->bound->items[from->load->bound->count - 1].taps = true;
    return RUBATO_OK;
}

static size_t added_tensors(const void *setting, added_tensor out[MOST_ADDED]) {
    const nystrom_setting *self = setting;
    out[0] = (added_tensor){"conv", ZERO_TAPS, self->taps};
    return self->taps ? 1 : 0;
}

/* The taps are of heads, which sorting would have to move too. */
static bool sortable(const void *setting) {
    return ((const nystrom_setting *)setting)->taps == 0;
}

/* ---- Landmarks ---- */

typedef struct segments {
    tensor out, x;
    batch rows, landmarks;
} segments;

/* The rows of x whose mean a landmark is. */
static stretch segment_of(const segments *s, size_t sequence, size_t landmark) {
    const size_t length = batch_length(&s->rows, sequence), count = batch_length(&s->landmarks, sequence);
    return (stretch){s->rows.start[sequence] + landmark * length / count,
                     s->rows.start[sequence] + (landmark + 1) * length / count};
}

static void means_backward(const run *on, void *saved) {
    const segments *s = saved;
    for (size_t i = 0; i < s->rows.sequences; i++)
        for (size_t j = 0; j < batch_length(&s->landmarks, i); j++) {
            const stretch of = segment_of(s, i, j);
            for (size_t row = of.first; row < of.end; row++)
                on->kernels->gradient->add_scaled(tensor_grad(s->x, row),
                                                  tensor_grad(s->out, s->landmarks.start[i] + j),
                                                  1 / (float)(of.end - of.first), s->x.columns);
        }
}

static tensor segment_means(const run *on, tensor x, const batch *rows, const batch *landmarks) {
    segments s = {run_tensor(on, landmarks->rows, x.columns), x, *rows, *landmarks};
    if (run_failed(on)) return s.out;
    for (size_t i = 0; i < rows->sequences; i++)
        for (size_t j = 0; j < batch_length(landmarks, i); j++) {
            const stretch of = segment_of(&s, i, j);
            float *out = tensor_row(s.out, landmarks->start[i] + j);
            memset(out, 0, x.columns * sizeof *out);
            for (size_t row = of.first; row < of.end; row++)
                on->kernels->gradient->add(out, tensor_row(x, row), x.columns);
            for (size_t k = 0; k < x.columns; k++) out[k] /= (float)(of.end - of.first);
        }
    segments *saved = on->tape ? tape_push(on, means_backward, sizeof *saved) : NULL;
    if (saved) *saved = s;
    return s.out;
}

/* ---- The convolution ---- */

typedef struct convolution {
    const run *on;
    tensor out, value;
    batch rows;
    table *taps;
    size_t heads, head_size;
} convolution;

/* Calls `each` for all pairs of rows of a sequence that a tap joins: to the row `out` from the row `from`. */
typedef void each_tap(const convolution *c, size_t head, size_t tap, size_t out, size_t from, float *room);

static void visit_taps(const convolution *c, size_t head, size_t sequence, each_tap *each, float *room) {
    const size_t first = c->rows.start[sequence], end = c->rows.start[sequence + 1], half = c->taps->width / 2;
    for (size_t row = first; row < end; row++)
        for (size_t tap = 0; tap < c->taps->width; tap++)
            if (row + tap >= first + half && row + tap < end + half) each(c, head, tap, row, row + tap - half, room);
}

static void add_value(const convolution *c, size_t head, size_t tap, size_t out, size_t from, float *room) {
    const size_t column = head * c->head_size;
    c->on->kernels->gradient->add_scaled(tensor_row(c->out, out) + column, tensor_row(c->value, from) + column,
                                         room[tap], c->head_size);
}

static void add_gradients(const convolution *c, size_t head, size_t tap, size_t out, size_t from, float *room) {
    const size_t column = head * c->head_size;
    const float *grad = tensor_grad(c->out, out) + column;
    c->on->kernels->gradient->add_scaled(tensor_grad(c->value, from) + column, grad, room[tap], c->head_size);
    if (c->taps->learn && c->taps->learn->rows)
        c->taps->learn->rows[head * c->taps->width + tap] +=
            c->on->kernels->dot_f32(grad, tensor_row(c->value, from) + column, c->head_size);
}

static void some_heads(const convolution *c, size_t first, size_t last, each_tap *each) {
    float room[MOST_TAPS];
    for (size_t head = first; head < last; head++) {
        table_read(c->taps, head, 1, room);
        for (size_t i = 0; i < c->rows.sequences; i++) visit_taps(c, head, i, each, room);
    }
}

static void convolve_some(void *argument, size_t member, size_t first, size_t last) {
    (void)member;
    some_heads(argument, first, last, add_value);
}

static void convolve_some_backward(void *argument, size_t member, size_t first, size_t last) {
    (void)member;
    some_heads(argument, first, last, add_gradients);
}

static void convolve_backward(const run *on, void *saved) {
    convolution c = *(const convolution *)saved;
    c.on = on;
    run_parallel(on, c.heads, 1, convolve_some_backward, &c);
    for (size_t head = 0; c.taps->learn && c.taps->learn->rows && head < c.heads; head++)
        table_touch(c.taps->learn, head);
}

/* out += the convolution of values. */
static void convolve(const run *on, const nystrom_weights *self, const attending_input *in, tensor out, tensor value) {
    convolution c = {
        on, out, value, in->sequences, (table *)(uintptr_t)&self->taps, self->with.heads, self->with.head_size};
    if (run_failed(on)) return;
    run_parallel(on, c.heads, 1, convolve_some, &c);
    convolution *saved = on->tape ? tape_push(on, convolve_backward, sizeof *saved) : NULL;
    if (saved) *saved = c;
}

/* ---- Running ---- */

/* The landmarks of each sequence, as many as its rows where it has dense attention. */
static bool find_landmarks(const run *on, const attending_input *in, size_t most, batch *out, bool **whole) {
    const size_t count = in->sequences.sequences;
    size_t *start = run_take(on, count + 1, sizeof *start);
    *whole = run_take(on, count + 1, sizeof **whole);
    if (run_failed(on)) return false;
    start[0] = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t length = batch_length(&in->sequences, i);
        (*whole)[i] = most == 0 || length <= most;
        start[i + 1] = start[i] + ((*whole)[i] ? length : most);
    }
    *out = (batch){.sequences = count, .rows = start[count], .start = start};
    return true;
}

/* Softmax attention of some queries to some rows. */
static tensor attend(const run *on, const nystrom_weights *self, const attending_input *in, tensor query, tensor key,
                     tensor value, batch keys, batch queries) {
    tensor out = run_tensor(on, query.rows, query.columns);
    gathered heads = gathered_heads(&self->with, in, &(projected){query, key, value});
    heads.significance = NULL;
    if (gathered_whole(on, &heads, keys, queries)) attention_gathered(on, out, &heads);
    return out;
}

static bool all_whole(const bool *whole, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!whole[i]) return false;
    return true;
}

static tensor mix(const run *on, const nystrom_weights *self, const attending_input *in, const projected *rows) {
    batch landmarks;
    bool *whole;
    if (!find_landmarks(on, in, self->setting->landmarks, &landmarks, &whole)) return (tensor){0};
    if (all_whole(whole, landmarks.sequences))
        return attend(on, self, in, rows->query, rows->key, rows->value, in->sequences, in->queries);
    const tensor query = segment_means(on, rows->query, &in->queries, &landmarks);
    const tensor key = segment_means(on, rows->key, &in->sequences, &landmarks);
    tensor value = attend(on, self, in, query, rows->key, rows->value, in->sequences, landmarks);
    tensor inverted = run_tensor(on, landmarks.rows, value.columns);
    if (run_failed(on)) return inverted;
    /* a sequence with dense attention keeps its values, which are as many as its landmarks */
    nystrom_inverse_run(on, inverted,
                        &(nystrom_inverse){.query = query,
                                           .key = key,
                                           .rows = value,
                                           .values = rows->value,
                                           .landmarks = landmarks,
                                           .sequences = in->sequences,
                                           .whole = whole,
                                           .heads = self->with.heads,
                                           .head_size = self->with.head_size,
                                           .scale = 1 / sqrtf((float)self->with.head_size)});
    return attend(on, self, in, rows->query, key, inverted, landmarks, in->queries);
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    const nystrom_weights *self = weights;
    const projected rows = projections_read(&self->with, on, in, false);
    const double begin = run_begin(on);
    const tensor mixed = mix(on, self, in, &rows);
    if (self->setting->taps) convolve(on, self, in, mixed, rows.value);
    run_end(on, PART_HEADS, begin);
    projections_write(&self->with, on, in, mixed, out);
}

/* ---- Costs ---- */

/* 24 products of landmarks with landmarks for a head's inverse; the rest as softmax attention to landmarks, twice. */
static double products(const nystrom_setting *self, double rows, double length, double heads, double size) {
    const double m = (double)self->landmarks, convolved = 2 * rows * (double)self->taps * heads * size;
    if (m == 0 || length <= m) return convolved + 4 * rows * length * heads * size;
    return convolved + 8 * rows * m * heads * size + rows / length * heads * 48 * m * m * m;
}

static operations count(const void *setting, const part_extent *of) {
    operations sum = projections_count(of);
    const double rows = (double)of->rows.entering;
    sum.queries += products(setting, rows, rows, (double)of->units, (double)of->unit_size);
    return sum;
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    const nystrom_weights *self = weights;
    (void)kernels;
    return projections_demand(&self->with,
                              products(self->setting, (double)(sequences * length), (double)length,
                                       (double)self->with.heads, (double)self->with.head_size),
                              sequences, length);
}

const attending attending_nystrom = {
    .part = {.name = "nystrom", .foreign = true, .configure = configure, .note = note, .describe = describe},
    .load = load,
    .load_terms = load_terms,
    .added_tensors = added_tensors,
    .sortable = sortable,
    .forward = forward,
    .visit = projections_visit,
    .count = count,
    .demand = demand};
