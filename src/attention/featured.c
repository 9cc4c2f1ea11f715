#include "attention/featured.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "attention/block.h"
#include "base/checked.h"
#include "tensor/state.h"

enum { ROWS = 64 }; /* that run together */

typedef struct pass {
    const run *on;
    featured in;
    batch sequences, queries;
    tensor out;
    size_t longest;
    /* Of a causal pass with a state: the sums of earlier passes, and the sums with this pass; see sums_of. */
    tensor kept, made;
} pass;

/* A member's scratch. */
typedef struct places {
    float *keys;               /* [longest, count]: features of the sequence's keys */
    float *queries, *d;        /* [ROWS, count]: features of some queries, and gradients of features */
    float *sums, *sums_grad;   /* [count, size]: of features times values */
    float *total, *total_grad; /* [count]: of features */
    float *turned;             /* [count, ROWS] */
    float *rows;               /* [ROWS, size] */
    float *weight;             /* [count] */
    float *map;                /* the map's own */
    float *pairs, *slopes;     /* causal: [ROWS, ROWS] weights of the keys of some queries, and their gradients */
    float *inverse;            /* causal: [longest] 1 / the sums of the queries' weights */
    block_room room;
} places;

static float *part(float *base, size_t *at, size_t floats) {
    const size_t here = *at;
    *at += round_up(floats, 16);
    return base ? base + here : NULL;
}

/* Lays out the scratch from `base` on; its size in floats, also when base is NULL. */
static size_t lay_out(const pass *p, float *base, places *out) {
    const size_t count = p->in.map->count, size = p->in.head_size;
    size_t at = 0;
    out->keys = part(base, &at, p->longest * count);
    out->queries = part(base, &at, ROWS * count);
    out->d = part(base, &at, ROWS * count);
    out->sums = part(base, &at, count * size);
    out->sums_grad = part(base, &at, count * size);
    out->total = part(base, &at, count);
    out->total_grad = part(base, &at, count);
    out->turned = part(base, &at, size_max(count, ROWS) * (ROWS + 16));
    out->rows = part(base, &at, ROWS * size);
    out->weight = part(base, &at, count);
    out->map = part(base, &at, ROWS * p->in.map->room);
    const size_t across = size_max(count, ROWS);
    size_t packed = size_max(packed_size(size, across), packed_size(across, size));
    if (p->in.causal) {
        out->pairs = part(base, &at, ROWS * ROWS);
        out->slopes = part(base, &at, ROWS * ROWS);
        out->inverse = part(base, &at, p->longest);
        packed = size_max(packed, size_max(packed_size(count, ROWS), packed_size(ROWS, count)));
    }
    out->room = (block_room){.packed = part(base, &at, packed)};
    return at;
}

/* One head of one sequence. */
typedef struct one_head {
    size_t key, query, column, keys, queries; /* first rows, the first column, numbers of rows */
} one_head;

static one_head find_head(const pass *p, size_t unit) {
    const size_t sequence = unit / p->in.heads;
    return (one_head){.key = p->sequences.start[sequence],
                      .query = p->queries.start[sequence],
                      .column = unit % p->in.heads * p->in.head_size,
                      .keys = batch_length(&p->sequences, sequence),
                      .queries = batch_length(&p->queries, sequence)};
}

enum { TURNED = ROWS + 16 };

/* Features of all keys; their sums are zero. Returns what the map does. */
static float map_keys(const pass *p, const one_head *h, places *at) {
    const size_t count = p->in.map->count;
    memset(at->sums, 0, count * p->in.head_size * sizeof(float));
    memset(at->total, 0, count * sizeof(float));
    if (h->keys == 0) return 0;
    return p->in.map->map(p->in.map->of, p->on, true, at->keys, tensor_row(p->in.key, h->key) + h->column,
                          p->in.key.stride, h->keys, p->in.head_size);
}

/* ---- State ---- */

/* The sums of one head in the state: `count` rows of a feature's sums of values and its total, and a row that begins
 * with the exponent c by which the features were divided. */
static float *sums_of(const pass *p, tensor of, size_t unit) {
    return tensor_row(of, unit * (p->in.map->count + 1));
}

/* Begins with the sums of earlier passes. Features of these, and of the keys of this pass, are divided by one exponent:
 * the larger one, which is returned. shift: that of the keys. */
static float take_sums(const pass *p, const one_head *h, size_t unit, float shift, places *at) {
    const size_t count = p->in.map->count, size = p->in.head_size;
    if (!p->kept.data) return shift;
    const float *from = sums_of(p, p->kept, unit), before = from[count * p->kept.stride];
    const float most = h->keys && shift > before ? shift : before;
    const float old = expf(before - most), own = expf(shift - most);
    for (size_t i = 0; i < count; i++, from += p->kept.stride) {
        for (size_t j = 0; j < size; j++) at->sums[i * size + j] = old * from[j];
        at->total[i] = old * from[size];
    }
    for (size_t i = 0; own < 1 && i < h->keys * count; i++) at->keys[i] *= own;
    return most;
}

static void keep_sums(const pass *p, size_t unit, float shift, const places *at) {
    const size_t count = p->in.map->count, size = p->in.head_size;
    if (!p->made.data) return;
    float *to = sums_of(p, p->made, unit);
    for (size_t i = 0; i < count; i++, to += p->made.stride) {
        memcpy(to, at->sums + i * size, size * sizeof *to);
        to[size] = at->total[i];
    }
    memset(to, 0, (size + 1) * sizeof *to);
    *to = shift;
}

/* Adds some keys to the sums. */
static void add_keys(const pass *p, const one_head *h, size_t first, size_t rows, places *at) {
    const size_t count = p->in.map->count, size = p->in.head_size;
    const float *features = at->keys + first * count;
    p->on->kernels->gradient->transpose(at->turned, TURNED, features, count, rows, count);
    block_accumulate(p->on, at->sums, size, at->turned, TURNED, tensor_row(p->in.value, h->key + first) + h->column,
                     p->in.value.stride, count, size, rows, &at->room);
    for (size_t i = 0; i < rows; i++) p->on->kernels->gradient->add(at->total, features + i * count, count);
}

static void sum_keys(const pass *p, const one_head *h, places *at) {
    map_keys(p, h, at);
    for (size_t first = 0; first < h->keys; first += ROWS) add_keys(p, h, first, size_min(ROWS, h->keys - first), at);
}

static void map_queries(const pass *p, const one_head *h, size_t first, size_t rows, places *at) {
    p->in.map->map(p->in.map->of, p->on, false, at->queries, tensor_row(p->in.query, h->query + first) + h->column,
                   p->in.query.stride, rows, p->in.head_size);
}

/* 1 / the sum of a query's weights. Where all of them are too small for a float, also for a normal one, whose inverse
 * is finite, the query sees nothing. */
static float inverse_sum(const pass *p, const float *features, const places *at) {
    const float sum = p->on->kernels->dot_f32(features, at->total, p->in.map->count);
    return sum < FLT_MIN ? 0 : 1 / sum;
}

/* 1 / the sum of the weights of query i of a block: its weights for the rows before the block, and for the block's rows
 * up to its own. */
static float inverse_causal_sum(const pass *p, size_t i, const places *at) {
    const size_t count = p->in.map->count;
    float sum = p->on->kernels->dot_f32(at->queries + i * count, at->total, count);
    for (size_t j = 0; j <= i; j++) sum += at->pairs[i * ROWS + j];
    return sum < FLT_MIN ? 0 : 1 / sum;
}

/* ---- Forward ---- */

typedef struct work {
    const pass *p;
    float *scratch;
    size_t scratch_size;
    float *received; /* [heads][rows] */
} work;

static void run_head(const pass *p, const one_head *h, places *at, float *received) {
    const run *on = p->on;
    const size_t count = p->in.map->count, size = p->in.head_size;
    if (received) memset(received, 0, h->keys * sizeof *received);
    if (h->keys == 0 || h->queries == 0) return;
    sum_keys(p, h, at);
    memset(at->weight, 0, count * sizeof *at->weight);
    for (size_t first = 0; first < h->queries; first += ROWS) {
        const size_t rows = size_min(ROWS, h->queries - first);
        float *out = tensor_row(p->out, h->query + first) + h->column;
        map_queries(p, h, first, rows, at);
        for (size_t i = 0; i < rows; i++) memset(out + i * p->out.stride, 0, size * sizeof *out);
        block_accumulate(on, out, p->out.stride, at->queries, count, at->sums, size, rows, size, count, &at->room);
        for (size_t i = 0; i < rows; i++) {
            const float *features = at->queries + i * count;
            const float inverse = inverse_sum(p, features, at);
            for (size_t j = 0; j < size; j++) out[i * p->out.stride + j] *= inverse;
            if (!received) continue;
            on->kernels->gradient->add_scaled(at->weight, features, inverse, count);
            if (p->in.others_only)
                received[first + i] -= inverse * on->kernels->dot_f32(features, at->keys + (first + i) * count, count);
        }
    }
    for (size_t i = 0; received && i < h->keys; i++)
        received[i] += on->kernels->dot_f32(at->weight, at->keys + i * count, count);
}

/* The weights [rows, ROWS] of a block's queries for the block's keys; the weights of later keys are 0. */
static void find_pairs(const pass *p, size_t first, size_t rows, places *at) {
    const size_t count = p->in.map->count;
    block_outer(p->on, at->pairs, ROWS, at->queries, count, rows, at->keys + first * count, count, rows, count, 1,
                &at->room);
    for (size_t i = 0; i < rows; i++) memset(at->pairs + i * ROWS + i + 1, 0, (ROWS - i - 1) * sizeof(float));
}

/* Some rows at a time: their queries see the sums of all rows before, and each other's keys one by one. */
static void run_causal_head(const pass *p, const one_head *h, size_t unit, places *at) {
    const run *on = p->on;
    const size_t count = p->in.map->count, size = p->in.head_size;
    const float shift = take_sums(p, h, unit, map_keys(p, h, at), at);
    for (size_t first = 0; first < h->keys; first += ROWS) {
        const size_t rows = size_min(ROWS, h->keys - first);
        float *out = tensor_row(p->out, h->query + first) + h->column;
        map_queries(p, h, first, rows, at);
        find_pairs(p, first, rows, at);
        for (size_t i = 0; i < rows; i++) memset(out + i * p->out.stride, 0, size * sizeof *out);
        block_accumulate(on, out, p->out.stride, at->queries, count, at->sums, size, rows, size, count, &at->room);
        block_accumulate(on, out, p->out.stride, at->pairs, ROWS, tensor_row(p->in.value, h->key + first) + h->column,
                         p->in.value.stride, rows, size, rows, &at->room);
        for (size_t i = 0; i < rows; i++) {
            const float inverse = inverse_causal_sum(p, i, at);
            for (size_t j = 0; j < size; j++) out[i * p->out.stride + j] *= inverse;
        }
        add_keys(p, h, first, rows, at);
    }
    keep_sums(p, unit, shift, at);
}

static void some_heads(void *argument, size_t member, size_t first, size_t last) {
    const work *w = argument;
    places at;
    lay_out(w->p, w->scratch + member * w->scratch_size, &at);
    for (size_t unit = first; unit < last; unit++) {
        const one_head h = find_head(w->p, unit);
        float *received = w->received ? w->received + unit % w->p->in.heads * w->p->sequences.rows + h.key : NULL;
        if (w->p->in.causal)
            run_causal_head(w->p, &h, unit, &at);
        else
            run_head(w->p, &h, &at, received);
    }
}

static void forward(const pass *p) {
    const run *on = p->on;
    places none;
    arena_mark mark = arena_save(on->memory);
    work w = {.p = p, .scratch_size = lay_out(p, NULL, &none)};
    w.scratch = run_take(on, team_size(on->crew) * w.scratch_size, sizeof *w.scratch);
    if (p->in.significance) w.received = run_take(on, p->in.heads * p->sequences.rows, sizeof *w.received);
    if (run_failed(on)) return;
    run_parallel(on, p->sequences.sequences * p->in.heads, 1, some_heads, &w);
    if (w.received) block_sum_heads(on, p->in.significance, w.received, p->in.heads, p->sequences.rows);
    arena_rewind(on->memory, mark);
}

/* ---- The derivative ---- */

/* With y = (f S) / (f z), S = sum f(k) v and z = sum f(k), and g = dy / (f z), c = (y dy) / (f z):
 * df = S g - c z, dS = sum f g, dz = -sum c f; then df(k) = dS v + dz, dv = dS^T f(k). */
static void queries_backward(const pass *p, const one_head *h, places *at) {
    const run *on = p->on;
    const gradient_kernels *g = on->kernels->gradient;
    const size_t count = p->in.map->count, size = p->in.head_size;
    memset(at->sums_grad, 0, count * size * sizeof(float));
    memset(at->total_grad, 0, count * sizeof(float));
    for (size_t first = 0; first < h->queries; first += ROWS) {
        const size_t rows = size_min(ROWS, h->queries - first), row = h->query + first;
        float c[ROWS];
        map_queries(p, h, first, rows, at);
        for (size_t i = 0; i < rows; i++) {
            const float *grad = tensor_grad(p->out, row + i) + h->column, *features = at->queries + i * count;
            const float inverse = inverse_sum(p, features, at);
            for (size_t j = 0; j < size; j++) at->rows[i * size + j] = grad[j] * inverse;
            c[i] = inverse * on->kernels->dot_f32(grad, tensor_row(p->out, row + i) + h->column, size);
            g->add_scaled(at->total_grad, features, -c[i], count);
        }
        block_outer(on, at->d, count, at->rows, size, rows, at->sums, size, count, size, 1, &at->room);
        for (size_t i = 0; i < rows; i++) g->add_scaled(at->d + i * count, at->total, -c[i], count);
        g->transpose(at->turned, TURNED, at->queries, count, rows, count);
        block_accumulate(on, at->sums_grad, size, at->turned, TURNED, at->rows, size, count, size, rows, &at->room);
        p->in.map->backward(p->in.map->of, on, tensor_grad(p->in.query, row) + h->column, p->in.query.stride, at->d,
                            at->queries, tensor_row(p->in.query, row) + h->column, p->in.query.stride, rows, size,
                            at->map);
    }
}

static void keys_backward(const pass *p, const one_head *h, places *at) {
    const run *on = p->on;
    const size_t count = p->in.map->count, size = p->in.head_size;
    for (size_t first = 0; first < h->keys; first += ROWS) {
        const size_t rows = size_min(ROWS, h->keys - first), row = h->key + first;
        const float *features = at->keys + first * count;
        block_outer(on, at->d, count, tensor_row(p->in.value, row) + h->column, p->in.value.stride, rows, at->sums_grad,
                    size, count, size, 1, &at->room);
        for (size_t i = 0; i < rows; i++) on->kernels->gradient->add(at->d + i * count, at->total_grad, count);
        block_accumulate(on, tensor_grad(p->in.value, row) + h->column, p->in.value.stride, features, count,
                         at->sums_grad, size, rows, size, count, &at->room);
        p->in.map->backward(p->in.map->of, on, tensor_grad(p->in.key, row) + h->column, p->in.key.stride, at->d,
                            features, tensor_row(p->in.key, row) + h->column, p->in.key.stride, rows, size, at->map);
    }
}

/* ---- The derivative, causal ---- */

/* rows [rows, size] = g and c [rows], as above, of some queries; slopes [rows, ROWS] = g v - c of the keys of the same
 * rows, which are the gradients of the weights; 0 for later ones. */
static void find_slopes(const pass *p, const one_head *h, size_t first, size_t rows, places *at, float *c) {
    const size_t size = p->in.head_size, row = h->query + first;
    for (size_t i = 0; i < rows; i++) {
        const float *grad = tensor_grad(p->out, row + i) + h->column, inverse = at->inverse[first + i];
        for (size_t j = 0; j < size; j++) at->rows[i * size + j] = grad[j] * inverse;
        c[i] = inverse * p->on->kernels->dot_f32(grad, tensor_row(p->out, row + i) + h->column, size);
    }
    block_outer(p->on, at->slopes, ROWS, at->rows, size, rows, tensor_row(p->in.value, row) + h->column,
                p->in.value.stride, rows, size, 1, &at->room);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j <= i; j++) at->slopes[i * ROWS + j] -= c[i];
        memset(at->slopes + i * ROWS + i + 1, 0, (ROWS - i - 1) * sizeof(float));
    }
}

/* Gradients of queries. Blocks run from the first to the last, so that the sums hold the blocks before. */
static void causal_queries_backward(const pass *p, const one_head *h, places *at) {
    const run *on = p->on;
    const size_t count = p->in.map->count, size = p->in.head_size;
    map_keys(p, h, at);
    for (size_t first = 0; first < h->keys; first += ROWS) {
        const size_t rows = size_min(ROWS, h->keys - first), row = h->query + first;
        float c[ROWS];
        map_queries(p, h, first, rows, at);
        find_pairs(p, first, rows, at);
        for (size_t i = 0; i < rows; i++) at->inverse[first + i] = inverse_causal_sum(p, i, at);
        find_slopes(p, h, first, rows, at, c);
        block_outer(on, at->d, count, at->rows, size, rows, at->sums, size, count, size, 1, &at->room);
        for (size_t i = 0; i < rows; i++) on->kernels->gradient->add_scaled(at->d + i * count, at->total, -c[i], count);
        block_accumulate(on, at->d, count, at->slopes, ROWS, at->keys + first * count, count, rows, count, rows,
                         &at->room);
        p->in.map->backward(p->in.map->of, on, tensor_grad(p->in.query, row) + h->column, p->in.query.stride, at->d,
                            at->queries, tensor_row(p->in.query, row) + h->column, p->in.query.stride, rows, size,
                            at->map);
        add_keys(p, h, first, rows, at);
    }
}

/* Gradients of keys and values: from the last rows to the first, with the gradients of the sums from the rows behind.
 */
static void causal_keys_backward(const pass *p, const one_head *h, places *at) {
    const run *on = p->on;
    const gradient_kernels *g = on->kernels->gradient;
    const size_t count = p->in.map->count, size = p->in.head_size;
    memset(at->sums_grad, 0, count * size * sizeof(float));
    memset(at->total_grad, 0, count * sizeof(float));
    for (size_t block = divide_up(h->keys, ROWS); block-- > 0;) {
        const size_t first = block * ROWS, rows = size_min(ROWS, h->keys - first), row = h->key + first;
        const float *features = at->keys + first * count, *value = tensor_row(p->in.value, row) + h->column;
        float *value_grad = tensor_grad(p->in.value, row) + h->column, c[ROWS];
        map_queries(p, h, first, rows, at);
        find_pairs(p, first, rows, at);
        find_slopes(p, h, first, rows, at, c);
        block_outer(on, at->d, count, value, p->in.value.stride, rows, at->sums_grad, size, count, size, 1, &at->room);
        for (size_t i = 0; i < rows; i++) g->add(at->d + i * count, at->total_grad, count);
        g->transpose(at->turned, TURNED, at->slopes, ROWS, rows, rows);
        block_accumulate(on, at->d, count, at->turned, TURNED, at->queries, count, rows, count, rows, &at->room);
        block_accumulate(on, value_grad, p->in.value.stride, features, count, at->sums_grad, size, rows, size, count,
                         &at->room);
        g->transpose(at->turned, TURNED, at->pairs, ROWS, rows, rows);
        block_accumulate(on, value_grad, p->in.value.stride, at->turned, TURNED, at->rows, size, rows, size, rows,
                         &at->room);
        p->in.map->backward(p->in.map->of, on, tensor_grad(p->in.key, row) + h->column, p->in.key.stride, at->d,
                            features, tensor_row(p->in.key, row) + h->column, p->in.key.stride, rows, size, at->map);
        g->transpose(at->turned, TURNED, at->queries, count, rows, count);
        block_accumulate(on, at->sums_grad, size, at->turned, TURNED, at->rows, size, count, size, rows, &at->room);
        for (size_t i = 0; i < rows; i++) g->add_scaled(at->total_grad, at->queries + i * count, -c[i], count);
    }
}

static void some_backward(void *argument, size_t member, size_t first, size_t last) {
    const work *w = argument;
    places at;
    lay_out(w->p, w->scratch + member * w->scratch_size, &at);
    for (size_t unit = first; unit < last; unit++) {
        const one_head h = find_head(w->p, unit);
        if (h.keys == 0 || h.queries == 0) continue;
        if (w->p->in.causal) {
            causal_queries_backward(w->p, &h, &at);
            causal_keys_backward(w->p, &h, &at);
            continue;
        }
        sum_keys(w->p, &h, &at);
        queries_backward(w->p, &h, &at);
        keys_backward(w->p, &h, &at);
    }
}

static void backward(const run *on, void *saved) {
    pass own = *(const pass *)saved;
    places none;
    own.on = on;
    work w = {.p = &own, .scratch_size = lay_out(&own, NULL, &none)};
    w.scratch = run_take(on, team_size(on->crew) * w.scratch_size, sizeof *w.scratch);
    if (run_failed(on)) return;
    run_parallel(on, own.sequences.sequences * own.in.heads, 1, some_backward, &w);
}

/* Each sequence has as many rows of sums. */
static void keep_made(const pass *p) {
    const size_t count = p->sequences.sequences;
    size_t *start = run_take(p->on, count + 1, sizeof *start);
    for (size_t i = 0; start && i <= count; i++) start[i] = i * p->in.heads * (p->in.map->count + 1);
    if (start) run_keep(p->on, p->in.layer, p->made, start, count);
}

void attention_featured(const run *self, tensor out, const featured *inputs) {
    pass p = {.on = self,
              .in = *inputs,
              .sequences = *inputs->sequences,
              .queries = *inputs->queries,
              .out = out,
              .longest = batch_longest(inputs->sequences)};
    if (p.longest == 0 || run_failed(self)) return;
    const size_t units = p.sequences.sequences * p.in.heads;
    if (self->state && p.in.causal) {
        const kept_rows kept = run_kept(self, p.in.layer);
        p.made = run_tensor(self, units * (p.in.map->count + 1), p.in.head_size + 1);
        if (kept.sequences == p.sequences.sequences && kept.rows.rows == p.made.rows) p.kept = kept.rows;
    }
    forward(&p);
    if (p.made.data) keep_made(&p);
    if (!self->tape) return;
    pass *saved = tape_push(self, backward, sizeof *saved);
    if (saved) *saved = p;
}

void featured_forward(const void *weights, const run *on, const attending_input *in, tensor out,
                      const feature_map *map) {
    const projections *with = weights;
    const projected rows = projections_read(with, on, in, false);
    tensor mixed = run_tensor(on, in->query_rows.rows, in->heads * with->head_size);
    const double begin = run_begin(on);
    attention_featured(on, mixed,
                       &(featured){.query = rows.query,
                                   .key = rows.key,
                                   .value = rows.value,
                                   .sequences = &in->sequences,
                                   .queries = &in->queries,
                                   .heads = in->heads,
                                   .head_size = with->head_size,
                                   .map = map,
                                   .causal = in->places != NULL,
                                   .layer = in->layer,
                                   .significance = in->significance,
                                   .others_only = in->others_only});
    run_end(on, PART_HEADS, begin);
    projections_write(with, on, in, mixed, out);
}

double featured_products(double features, double keys, double queries, double width) {
    return 2 * features * width * (keys + queries);
}
