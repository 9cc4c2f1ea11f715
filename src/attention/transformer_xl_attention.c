/* Transformer-XL's attention, and the Compressive Transformer's.
 *
 * Transformer-XL (Dai et al. 2019): the text is cut into segments, and a token sees its own segment and the
 * `memory` tokens before it; in a causal model, those of them that are not behind it. Scores are
 *   (q + u) . k + (q + v) . R r,
 * with the sinusoids r of the distance. u is the bias of the queries. The whole text is one pass, so that gradients
 * reach the memory too, which the authors' training stops there.
 *
 * The Compressive Transformer (Rae et al. 2020) sees older tokens too, as rows that a convolution makes of `ratio`
 * tokens each: the last `compressed` of them before the memory. Each counts as one place. The convolution learns by the
 * model's loss, which reaches it within the pass, and not by a loss of its own. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attention/block.h"
#include "attention/kept_keys.h"
#include "attention/planned.h"
#include "attention/relative.h"
#include "attention/slots.h"
#include "base/checked.h"
#include "tensor/operations.h"
#include "tensor/state.h"

typedef struct xl_setting {
    size_t segment, memory;
    size_t ratio, compressed; /* ratio 0: Transformer-XL */
} xl_setting;
_Static_assert(sizeof(xl_setting) <= SETTING_BYTES, "a setting fits");

typedef struct xl_weights {
    projections with; /* first, as projections.h has it */
    const xl_setting *setting;
    const tensor *sinusoids; /* [2 reach + 1, hidden], of all layers */
    table *kernel, *bias;    /* R, [hidden, heads * head_size]; v, [1, heads * head_size] */
    linear compress;         /* [hidden, ratio * hidden] */
    tensor far;              /* [2 reach + 1, heads * head_size]: R r; data is NULL where R learns */
} xl_weights;

/* ---- Setting ---- */

enum { SEGMENT = 128, WIDEST = 1 << 16, RATIO = 3, MOST_RATIO = 64 };

static rubato_status configure(void *setting, const json_t *json, rubato_error *error) {
    xl_setting *self = setting;
    TRY(json_get_size(&self->segment, json, "segment", SEGMENT, error));
    TRY(json_get_size(&self->memory, json, "memory", SEGMENT, error));
    if (self->segment == 0 || self->segment > WIDEST || self->memory > WIDEST)
        return fail(error, RUBATO_BAD_MODEL, "Transformer-XL's attention with segments of %zu and a memory of %zu",
                    self->segment, self->memory);
    return RUBATO_OK;
}

static rubato_status configure_compressive(void *setting, const json_t *json, rubato_error *error) {
    xl_setting *self = setting;
    TRY(configure(setting, json, error));
    TRY(json_get_size(&self->ratio, json, "ratio", RATIO, error));
    TRY(json_get_size(&self->compressed, json, "compressed", SEGMENT, error));
    if (self->ratio == 0 || self->ratio > MOST_RATIO || self->compressed == 0 || self->compressed > WIDEST)
        return fail(error, RUBATO_BAD_MODEL, "compressive attention to %zu rows of %zu tokens each", self->compressed,
                    self->ratio);
    return RUBATO_OK;
}

static rubato_status note(const void *setting, json_t *json, rubato_error *error) {
    const xl_setting *self = setting;
    TRY(json_set(json, "segment", json_integer((json_int_t)self->segment), error));
    if (self->ratio) {
        TRY(json_set(json, "ratio", json_integer((json_int_t)self->ratio), error));
        TRY(json_set(json, "compressed", json_integer((json_int_t)self->compressed), error));
    }
    return json_set(json, "memory", json_integer((json_int_t)self->memory), error);
}

static void describe(const void *setting, char *out, size_t bytes) {
    const xl_setting *self = setting;
    if (self->ratio)
        snprintf(out, bytes, "segments of %zu, a memory of %zu, and %zu rows of %zu tokens", self->segment,
                 self->memory, self->compressed, self->ratio);
    else
        snprintf(out, bytes, "segments of %zu, a memory of %zu", self->segment, self->memory);
}

/* ---- Loading ---- */

/* The farthest that a token is from one that it sees. */
static size_t reach_of(const xl_setting *setting, size_t longest) {
    return size_min(longest, setting->segment + setting->memory + setting->compressed) - 1;
}

static rubato_status make_shared(void **out, const part_source *from) {
    tensor *sinusoids = arena_take(from->load->with.memory, sizeof *sinusoids);
    if (!sinusoids) return fail_memory(from->load->error);
    *out = sinusoids;
    return relative_sinusoids(from->load, sinusoids, reach_of(from->setting, from->longest) + 1, from->hidden);
}

static rubato_status load(void **out, const part_source *from) {
    xl_weights *self = arena_take(from->load->with.memory, sizeof *self);
    table *tables = arena_take_array(from->load->with.memory, 2, sizeof *tables);
    if (!self || !tables) return fail_memory(from->load->error);
    *self = (xl_weights){.setting = from->setting, .sinusoids = from->shared, .kernel = &tables[0], .bias = &tables[1]};
    *out = self;
    TRY(projections_load(&self->with, from));
    if (!self->setting->ratio) return RUBATO_OK;
    char name[LOADER_NAME];
    const char *one[1] = {name};
    part_name_beside(name, from, from->names->query, "compress");
    return loader_linear(from->load, &self->compress, one, 1, from->hidden, self->setting->ratio * from->hidden);
}

/* far = r R. */
static void find_far(const run *on, const xl_weights *self, tensor far) {
    const table *by = self->kernel;
    const tensor r = *self->sinusoids;
    arena_mark mark = arena_save(on->memory);
    float *values = run_take(on, by->rows * by->width + packed_size(by->width, by->rows), sizeof *values);
    if (run_failed(on)) return;
    table_read(by, 0, by->rows, values);
    for (size_t i = 0; i < far.rows; i++) memset(tensor_row(far, i), 0, far.columns * sizeof(float));
    block_accumulate(on, far.data, far.stride, r.data, r.stride, values, by->width, r.rows, by->width, by->rows,
                     &(block_room){.packed = values + by->rows * by->width});
    arena_rewind(on->memory, mark);
}

static rubato_status load_terms(void *weights, const part_source *from) {
    xl_weights *self = weights;
    const size_t width = from->heads * from->head_size;
    const double usual = from->load->with.deviation;
    char name[LOADER_NAME];
    part_name_beside(name, from, from->names->query, "relative.weight");
    TRY(loader_spread(from->load, self->kernel, name, from->hidden, width, usual));
    part_name_beside(name, from, from->names->query, "relative_bias.weight");
    TRY(loader_spread(from->load, self->bias, name, 1, width, usual));
    if (from->load->bound) return RUBATO_OK;
    rubato_status status = RUBATO_OK;
    const run on = {.kernels = from->load->with.kernels,
                    .crew = from->load->with.crew,
                    .memory = from->load->with.memory,
                    .status = &status};
    self->far = run_tensor(&on, self->sinusoids->rows, width);
    if (self->far.data) find_far(&on, self, self->far);
    return run_result(&on, from->load->error);
}

/* Without relative terms at first, attention is that of a window. */
static size_t added_tensors(const void *setting, added_tensor out[MOST_ADDED]) {
    const xl_setting *self = setting;
    out[0] = (added_tensor){"relative", ZERO_ROWS, ROWS_OF_INPUTS};
    out[1] = (added_tensor){"relative_bias", ZERO_ROWS, 1};
    out[2] = (added_tensor){"compress", LIKE_MEAN, self->ratio};
    return self->ratio ? 3 : 2;
}

/* The terms have the heads' columns, which sorting would have to move too. */
static bool sortable(const void *setting) {
    (void)setting;
    return false;
}

static void visit(void *weights, linear_visitor *see, void *user) {
    static const linear_role compress = {
        .name = "compressed rows", .part = PART_QKV, .outputs = AXIS_HIDDEN, .inputs = AXIS_HIDDEN, .stacked = 1};
    xl_weights *self = weights;
    projections_visit(&self->with, see, user);
    if (self->setting->ratio) see(user, &self->compress, &compress);
}

/* ---- R r, where R learns ---- */

typedef struct learning_far {
    const xl_weights *with;
    tensor far;
} learning_far;

/* dR = r^T dfar. */
static void far_backward(const run *on, void *saved) {
    const learning_far *l = saved;
    const table *by = l->with->kernel;
    const tensor r = *l->with->sinusoids;
    if (!by->learn || !by->learn->rows) return;
    const size_t across = round_up(r.rows, PANEL) + 16;
    float *turned = run_take(on, by->rows * across + packed_size(by->width, r.rows), sizeof *turned);
    if (run_failed(on)) return;
    on->kernels->gradient->transpose(turned, across, r.data, r.stride, r.rows, by->rows);
    block_accumulate(on, by->learn->rows, by->width, turned, across, l->far.grad, l->far.stride, by->rows, by->width,
                     r.rows, &(block_room){.packed = turned + by->rows * across});
    for (size_t i = 0; i < by->rows; i++) table_touch(by->learn, i);
}

static tensor make_far(const run *on, const xl_weights *self) {
    tensor far = run_tensor(on, self->sinusoids->rows, self->kernel->width);
    if (run_failed(on)) return far;
    find_far(on, self, far);
    learning_far *saved = on->tape && !run_failed(on) ? tape_push(on, far_backward, sizeof *saved) : NULL;
    if (saved) *saved = (learning_far){self, far};
    return far;
}

static relative_terms *make_terms(const run *on, const xl_weights *self, size_t width) {
    relative_terms *made = run_take(on, 1, sizeof *made);
    float *bias = run_take(on, self->bias->width, sizeof *bias);
    const linear *qkv = &self->with.stacked;
    if (run_failed(on)) return NULL;
    table_read(self->bias, 0, 1, bias);
    tensor far = self->far.data ? self->far : make_far(on, self);
    if (run_failed(on)) return NULL;
    *made = (relative_terms){.far = tensor_columns(far, 0, width), .reach = far.rows / 2};
    made->u.values = qkv->bias;
    made->v.values = bias;
    if (!on->tape) return made;
    if (qkv->learn) made->u.grad = qkv->learn->bias;
    if (self->bias->learn) {
        made->v.grad = self->bias->learn->rows;
        table_touch(self->bias->learn, 0);
    }
    return made;
}

/* ---- Segments ---- */

/* Each segment of a text as a sequence: its queries, and copies of the keys that they see. */
typedef struct segments {
    planned_pass pass;
    slots old; /* of a compressive model */
    batch queries, keys;
    size_t *key_row, *key_origin, *query_origin; /* of the copies: rows of x, or of slots behind these; original rows */
} segments;

/* The slots that the segment at a place sees: those of tokens before its memory. *places: the place behind the last. */
static stretch old_slots(const segments *s, const xl_setting *setting, size_t sequence, size_t begin) {
    const size_t behind = begin > setting->memory ? begin - setting->memory : 0;
    stretch seen = {s->old.packed.start[sequence], s->old.packed.start[sequence]};
    while (seen.end < s->old.packed.start[sequence + 1] && s->old.last[seen.end] < behind) seen.end++;
    while (seen.first < seen.end &&
           (s->old.last[seen.first] + 1) / setting->ratio + setting->compressed <= behind / setting->ratio)
        seen.first++;
    return seen;
}

/* Lists the keys of the segment at a place; their number. copy: where their lists begin. */
static size_t list_keys(const segments *s, const xl_setting *setting, size_t sequence, size_t begin, bool lists,
                        size_t copy) {
    const attending_input *in = &s->pass.in;
    const size_t memory = begin > setting->memory ? begin - setting->memory : 0, first = in->sequences.start[sequence];
    const size_t base = in->origin ? in->origin[first] : first;
    const stretch keys = planned_keys(&s->pass, sequence, memory, begin + setting->segment);
    const stretch old = setting->ratio ? old_slots(s, setting, sequence, begin) : (stretch){0, 0};
    if (!lists) return keys.end - keys.first + old.end - old.first;
    for (size_t i = old.first; i < old.end; i++, copy++) {
        const size_t from_end = memory / setting->ratio - ((s->old.last[i] + 1) / setting->ratio - 1);
        s->key_row[copy] = in->x.rows + i;
        s->key_origin[copy] = base + memory - from_end;
    }
    for (size_t key = keys.first; key < keys.end; key++, copy++) {
        s->key_row[copy] = first + key;
        s->key_origin[copy] = in->origin ? in->origin[first + key] : first + key;
    }
    return copy;
}

static bool find_segments(const run *on, const attending_input *in, const xl_setting *setting, segments *s) {
    size_t count = 0, copies = 0, at = 0;
    *s = (segments){.pass = {.in = *in, .setting = setting}};
    if (setting->ratio) s->old = slots_find(on, in, setting->ratio);
    for (size_t i = 0; i < in->sequences.sequences; i++)
        count += divide_up(planned_length(&s->pass, i), setting->segment);
    size_t *start = run_take(on, 2 * (count + 1), sizeof *start), *query_start = start + count + 1;
    if (run_failed(on)) return false;
    for (size_t i = 0; i < in->sequences.sequences; i++)
        for (size_t begin = 0; begin < planned_length(&s->pass, i); begin += setting->segment, at++) {
            start[at] = copies;
            query_start[at] =
                in->queries.start[i] + planned_queries(&s->pass, i, begin, begin + setting->segment).first;
            copies += list_keys(s, setting, i, begin, false, 0);
        }
    start[at] = copies;
    query_start[at] = in->queries.rows;
    s->queries = (batch){.sequences = count, .rows = in->queries.rows, .start = query_start};
    s->keys = (batch){.sequences = count, .rows = copies, .start = start};
    s->key_row = run_take(on, 2 * copies + in->queries.rows + 1, sizeof *s->key_row);
    if (run_failed(on)) return false;
    s->key_origin = s->key_row + copies;
    s->query_origin = s->key_origin + copies;
    at = 0;
    for (size_t i = 0; i < in->sequences.sequences; i++)
        for (size_t begin = 0; begin < planned_length(&s->pass, i); begin += setting->segment, at++)
            list_keys(s, setting, i, begin, true, start[at]);
    for (size_t i = 0; i < in->queries.rows; i++) s->query_origin[i] = in->query_origin ? in->query_origin[i] : i;
    return true;
}

/* ---- Causal, from pass to pass ---- */

/* The memory of the segment in which the place stands. */
static size_t first_of_memory(const void *of, size_t next) {
    const xl_setting *setting = of;
    const size_t segment = next / setting->segment * setting->segment;
    return segment > setting->memory ? segment - setting->memory : 0;
}

/* The segments of this pass's rows, with keys of earlier passes too; places count from the beginning of the text. */
static bool find_continued(const run *on, const attending_input *in, const xl_setting *setting, const kept_keys *all,
                           segments *s) {
    size_t count = 0, copies = 0, at = 0;
    *s = (segments){.pass = {.in = *in, .setting = setting}};
    for (size_t i = 0; i < in->sequences.sequences; i++)
        count += divide_up(batch_length(&in->sequences, i) + run_seen(on, i) % setting->segment, setting->segment);
    size_t *start = run_take(on, 2 * (count + 1), sizeof *start), *query_start = start + count + 1;
    s->query_origin = run_take(on, in->queries.rows + 1, sizeof *s->query_origin);
    const size_t most = count * size_min(setting->segment + setting->memory, all->packed.rows);
    s->key_row = run_take(on, 2 * most + 1, sizeof *s->key_row);
    if (run_failed(on)) return false;
    s->key_origin = s->key_row + most;
    for (size_t i = 0; i < in->sequences.sequences; i++) {
        const size_t seen = run_seen(on, i), first = in->queries.start[i], end = seen + batch_length(&in->queries, i);
        for (size_t place = seen; place < end; place++) s->query_origin[first + place - seen] = place;
        for (size_t place = seen; place < end;) {
            const size_t next = size_min(end, (place / setting->segment + 1) * setting->segment);
            start[at] = copies;
            query_start[at++] = first + place - seen;
            for (size_t row = all->packed.start[i]; row < all->packed.start[i + 1]; row++) {
                if (all->places[row] < first_of_memory(setting, place) || all->places[row] >= next) continue;
                s->key_row[copies] = row;
                s->key_origin[copies++] = all->places[row];
            }
            place = next;
        }
    }
    start[at] = copies;
    query_start[at] = in->queries.rows;
    s->queries = (batch){.sequences = at, .rows = in->queries.rows, .start = query_start};
    s->keys = (batch){.sequences = at, .rows = copies, .start = start};
    return true;
}

/* The rows of x, and behind them those of the slots, through the layer's keys and values; all heads run. */
static projected add_slots(const run *on, const xl_weights *self, const attending_input *in, const segments *s,
                           projected rows) {
    const size_t width = rows.key.columns;
    tensor *const to[2] = {&rows.key, &rows.value};
    tensor old = slots_through(on, in->x, &s->old, &self->compress);
    tensor made = run_tensor(on, old.rows, self->with.stacked.out);
    size_t *order = run_take(on, in->x.rows + old.rows + 1, sizeof *order);
    if (run_failed(on)) return rows;
    for (size_t i = 0; i < in->x.rows + old.rows; i++) order[i] = i;
    run_linear(on, made, old, &self->with.stacked, ACTIVATION_NONE, NULL);
    for (size_t i = 0; i < 2; i++) {
        tensor all = run_tensor(on, in->x.rows + old.rows, width);
        if (run_failed(on)) return rows;
        run_scatter(on, all, order, *to[i], order, in->x.rows);
        run_scatter(on, all, order + in->x.rows, tensor_columns(made, (i + 1) * width, width), order, old.rows);
        *to[i] = all;
    }
    return rows;
}

/* Later keys get the score -inf. */
static void hide_later(const void *values, const void *prepared, const kernel_table *kernels, const attention *in,
                       const score_block *to, float *room) {
    (void)values, (void)prepared, (void)kernels, (void)room;
    for (size_t i = 0; i < to->rows; i++) {
        size_t end = to->length;
        while (end > 0 && in->origin[to->start + end - 1] > in->query_origin[to->query + i]) end--;
        for (size_t k = end; k < to->length; k++) to->scores[i * to->stride + k] = -INFINITY;
    }
}

static const score_term_kind score_term_later = {.add = hide_later};

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    const xl_weights *self = weights;
    const size_t size = self->with.head_size;
    projected rows = projections_read(&self->with, on, in, false);
    tensor mixed = run_tensor(on, in->query_rows.rows, in->heads * size);
    const double begin = run_begin(on);
    segments *s = run_take(on, 1, sizeof *s); /* lives as long as the tape */
    const relative_terms *terms = run_failed(on) ? NULL : make_terms(on, self, in->heads * size);
    const bool continues = on->state && in->places && !self->setting->ratio;
    kept_keys all;
    if (terms && (continues ? kept_keys_join(on, in, first_of_memory, self->setting, &rows, &all) &&
                                  find_continued(on, in, self->setting, &all, s)
                            : find_segments(on, in, self->setting, s))) {
        if (self->setting->ratio) rows = add_slots(on, self, in, s, rows);
        attention heads = {.query = rows.query,
                           .key = run_gather(on, rows.key, s->key_row, s->keys.rows),
                           .value = run_gather(on, rows.value, s->key_row, s->keys.rows),
                           .queries = &s->queries,
                           .query_origin = s->query_origin,
                           .heads = in->heads,
                           .head_size = size,
                           .scale = 1.0f / sqrtf((float)size),
                           .origin = s->key_origin,
                           .terms = {{&score_term_relative, terms}},
                           .layer = in->layer + 1};
        if (in->places) heads.terms[1] = (score_term){&score_term_later, s};
        attention_softmax(on, mixed, &heads, &s->keys);
    }
    run_end(on, PART_HEADS, begin);
    projections_write(&self->with, on, in, mixed, out);
}

/* ---- Costs ---- */

/* The relative terms are products with all distances, which are half of a pair each. */
static double pairs(const void *setting, double keys, double queries) {
    const xl_setting *self = setting;
    return 1.5 * queries * fmin(keys, (double)(self->segment + self->memory + self->compressed));
}

/* A slot passes the convolution, and its keys and values are projected. */
static operations count(const void *setting, const part_extent *of) {
    const xl_setting *self = setting;
    operations sum = planned_count(setting, of, pairs);
    const double hidden = (double)of->hidden, width = (double)(of->units * of->unit_size);
    if (self->ratio)
        sum.keys += (double)of->rows.entering * (2 * hidden * hidden + 4 * hidden * width / (double)self->ratio);
    return sum;
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    const xl_weights *self = weights;
    (void)kernels;
    return planned_heads_demand(&self->with, self->setting, sequences, length, pairs);
}

#define SHARED                                                                                                         \
    .fewer_queries = true, .decodes = true, .make_shared = make_shared, .load = load, .load_terms = load_terms,        \
    .added_tensors = added_tensors, .sortable = sortable, .visit = visit, .forward = forward, .count = count,          \
    .demand = demand

const attending attending_transformer_xl = {
    .part = {.name = "transformer-xl", .foreign = true, .configure = configure, .note = note, .describe = describe},
    .narrows = true,
    .continues = true,
    .allow_narrow = projections_allow_narrow,
    SHARED};

const attending attending_compressive = {.part = {.name = "compressive",
                                                  .foreign = true,
                                                  .configure = configure_compressive,
                                                  .note = note,
                                                  .describe = describe},
                                         SHARED};
