/* Gathered attention: keys and values of one head of one sequence are packed once, and every stretch is a part of the
 * packed form that begins at a panel. A row of scores has the stretches one after the other, each up to whole lanes.
 * Keys that the query does not see have the score -inf, and the probability 0. The derivative is computed as in
 * softmax.c. */
#include "attention/gathered.h"

#include <math.h>
#include <string.h>

#include "attention/block.h"
#include "base/checked.h"

enum { SCORE_BYTES = 128 * 1024, LEAST_QUERIES = 14, MOST_QUERIES = 128, LANES = 8 };

typedef struct pass {
    const run *on;
    gathered in;
    batch sequences, queries;
    tensor out;
    size_t longest;
    uint64_t mask; /* dropout's key; 0: none */
} pass;

/* A block, some of its queries, and the places of its stretches in a row of scores. */
typedef struct laid_out {
    query_block block;
    size_t at[MOST_STRETCHES];    /* columns of the scores */
    size_t first[MOST_STRETCHES]; /* the stretch's beginning, rounded down to PANEL */
    size_t width, stride;         /* of a row of scores */
    size_t rows;                  /* queries that run together */
} laid_out;

static bool lay_out(const pass *p, size_t sequence, size_t head, size_t number, laid_out *out) {
    if (!p->in.plan.block(p->in.plan.of, sequence, head, number, &out->block)) return false;
    out->width = 0;
    for (size_t i = 0; i < out->block.stretches; i++) {
        out->at[i] = out->width;
        out->first[i] = out->block.keys[i].first / PANEL * PANEL;
        out->width += round_up(out->block.keys[i].end - out->first[i], LANES);
    }
    out->stride = out->width + 16;
    const size_t room = SCORE_BYTES / sizeof(float) / out->stride;
    out->rows = size_min(size_min(size_max(room, LEAST_QUERIES), MOST_QUERIES), out->block.count);
    return true;
}

static size_t columns_of(const laid_out *l, size_t i) {
    return l->block.keys[i].end - l->first[i];
}

/* The scores of keys that the query does not see become -inf. False where it sees no key. */
static bool hide(const pass *p, const laid_out *l, size_t sequence, size_t query, float *row) {
    size_t seen = 0;
    for (size_t i = 0; i < l->block.stretches; i++) {
        const stretch keys = l->block.keys[i];
        stretch own = p->in.plan.seen ? p->in.plan.seen(p->in.plan.of, sequence, query, keys) : keys;
        if (own.first >= own.end) own = (stretch){l->first[i], l->first[i]};
        const size_t begin = own.first - l->first[i], end = own.end - l->first[i];
        const size_t whole = round_up(columns_of(l, i), LANES);
        for (size_t j = 0; j < begin; j++) row[l->at[i] + j] = -INFINITY;
        for (size_t j = end; j < whole; j++) row[l->at[i] + j] = -INFINITY;
        seen += end - begin;
    }
    return seen > 0;
}

static void find_probabilities(const pass *p, const laid_out *l, size_t sequence, size_t first, size_t rows,
                               float *scores) {
    for (size_t i = 0; i < rows; i++) {
        float *row = scores + i * l->stride;
        if (hide(p, l, sequence, first + i, row))
            p->on->kernels->softmax_f32(row, l->width);
        else
            memset(row, 0, l->width * sizeof *row);
    }
}

static void drop(const pass *p, const laid_out *l, size_t head, size_t query, size_t rows, float *x) {
    const uint32_t place = block_place(head, query, p->queries.rows, p->longest);
    for (size_t i = 0; p->mask && i < l->block.stretches; i++)
        block_dropout(p->on, p->mask, x + l->at[i], l->stride, rows, columns_of(l, i), place + (uint32_t)l->first[i],
                      p->longest);
}

/* ---- Forward ---- */

enum { FEW = 2 };

static bool is_few(const pass *p, size_t sequence) {
    return batch_length(&p->queries, sequence) <= FEW;
}

typedef struct work {
    const pass *p;
    float *scratch; /* of all members, one after the other */
    size_t scratch_size, key_size, value_size;
    float *received; /* [heads][rows] */
} work;

static void receive(const work *w, const laid_out *l, size_t rows, size_t first, const float *scores, float *received) {
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < l->block.stretches; j++) {
            const float *row = scores + i * l->stride + l->at[j];
            w->p->on->kernels->gradient->add(received + l->first[j], row, columns_of(l, j));
            const size_t own = first + i - l->first[j]; /* beyond the stretch where it wraps */
            if (w->p->in.others_only && own < columns_of(l, j)) received[first + i] -= row[own];
        }
}

/* The queries of one head of one sequence that run together. */
typedef struct some_rows {
    size_t start, column; /* the first row of the keys; the head's first column */
    size_t query, rows;   /* rows of the queries */
    bool few;             /* keys and values are not packed */
} some_rows;

/* Whether a stretch is multiplied by rows as they stand: it does not pay to pack keys and values for a few queries, and
 * a product of a few keys takes the time of a panel. */
static bool is_narrow(const laid_out *l, size_t i, const some_rows *of) {
    return of->few || columns_of(l, i) <= FEW;
}

static void score_narrow(const pass *p, const laid_out *l, size_t i, const some_rows *of, float *scores) {
    for (size_t row = 0; row < of->rows; row++)
        for (size_t k = 0; k < columns_of(l, i); k++)
            scores[row * l->stride + l->at[i] + k] =
                p->in.scale * p->on->kernels->dot_f32(tensor_row(p->in.query, of->query + row) + of->column,
                                                      tensor_row(p->in.key, of->start + l->first[i] + k) + of->column,
                                                      p->in.head_size);
}

static void score_wide(const pass *p, const laid_out *l, size_t i, const some_rows *of, const float *keys,
                       float *scores) {
    p->on->kernels->product_f32(&(product_f32){.a = tensor_row(p->in.query, of->query) + of->column,
                                               .a_stride = p->in.query.stride,
                                               .b = keys + l->first[i] * p->in.head_size,
                                               .c = scores + l->at[i],
                                               .c_stride = l->stride,
                                               .rows = of->rows,
                                               .columns = columns_of(l, i),
                                               .depth = p->in.head_size,
                                               .scale = p->in.scale});
}

static void mix_narrow(const pass *p, const laid_out *l, size_t i, const some_rows *of, const float *scores) {
    for (size_t row = 0; row < of->rows; row++)
        for (size_t k = 0; k < columns_of(l, i); k++)
            p->on->kernels->gradient->add_scaled(tensor_row(p->out, of->query + row) + of->column,
                                                 tensor_row(p->in.value, of->start + l->first[i] + k) + of->column,
                                                 scores[row * l->stride + l->at[i] + k], p->in.head_size);
}

static void mix_wide(const pass *p, const laid_out *l, size_t i, const some_rows *of, const float *values,
                     size_t length, const float *scores) {
    p->on->kernels->product_f32(&(product_f32){.a = scores + l->at[i],
                                               .a_stride = l->stride,
                                               .b = values + l->first[i] * PANEL,
                                               .b_depth = length,
                                               .c = tensor_row(p->out, of->query) + of->column,
                                               .c_stride = p->out.stride,
                                               .rows = of->rows,
                                               .columns = p->in.head_size,
                                               .depth = columns_of(l, i),
                                               .add = true});
}

static void run_rows(const work *w, const laid_out *l, size_t sequence, size_t head, size_t first, size_t rows,
                     float *keys) {
    const pass *p = w->p;
    const some_rows of = {.start = p->sequences.start[sequence],
                          .column = head * p->in.head_size,
                          .query = p->queries.start[sequence] + first,
                          .rows = rows,
                          .few = is_few(p, sequence)};
    float *values = keys + w->key_size, *scores = values + w->value_size;
    for (size_t i = 0; i < l->block.stretches; i++) {
        if (is_narrow(l, i, &of))
            score_narrow(p, l, i, &of, scores);
        else
            score_wide(p, l, i, &of, keys, scores);
    }
    find_probabilities(p, l, sequence, first, rows, scores);
    if (w->received) receive(w, l, rows, first, scores, w->received + head * p->sequences.rows + of.start);
    drop(p, l, head, of.query, rows, scores);
    for (size_t i = 0; i < rows; i++)
        memset(tensor_row(p->out, of.query + i) + of.column, 0, p->in.head_size * sizeof(float));
    for (size_t i = 0; i < l->block.stretches; i++) {
        if (is_narrow(l, i, &of))
            mix_narrow(p, l, i, &of, scores);
        else
            mix_wide(p, l, i, &of, values, batch_length(&p->sequences, sequence), scores);
    }
}

static void run_head(const work *w, size_t sequence, size_t head, float *scratch) {
    const pass *p = w->p;
    const size_t size = p->in.head_size, column = head * size, start = p->sequences.start[sequence];
    const size_t length = batch_length(&p->sequences, sequence);
    if (w->received) memset(w->received + head * p->sequences.rows + start, 0, length * sizeof(float));
    if (length == 0 || batch_length(&p->queries, sequence) == 0) return;
    if (!is_few(p, sequence)) {
        p->on->kernels->pack_transposed_f32(scratch, tensor_row(p->in.key, start) + column, p->in.key.stride, length,
                                            size);
        pack_straight_f32(scratch + w->key_size, tensor_row(p->in.value, start) + column, p->in.value.stride, size,
                          length);
    }
    laid_out l;
    for (size_t number = 0; lay_out(p, sequence, head, number, &l); number++)
        for (size_t done = 0; done < l.block.count; done += l.rows)
            run_rows(w, &l, sequence, head, l.block.first + done, size_min(l.rows, l.block.count - done), scratch);
}

static void some_heads(void *argument, size_t member, size_t first, size_t last) {
    const work *w = argument;
    for (size_t unit = first; unit < last; unit++)
        run_head(w, unit / w->p->in.heads, unit % w->p->in.heads, w->scratch + member * w->scratch_size);
}

/* The most floats that the scores of some queries take. */
static size_t most_scores(const pass *p) {
    const size_t widest = round_up(p->longest, PANEL) + MOST_STRETCHES * 2 * PANEL + 16;
    return round_up(size_max(SCORE_BYTES / sizeof(float), LEAST_QUERIES * widest), 16);
}

static void forward(const pass *p) {
    const run *on = p->on;
    work w = {.p = p,
              .key_size = round_up(packed_size(p->longest, p->in.head_size), 16),
              .value_size = round_up(packed_size(p->in.head_size, p->longest), 16)};
    arena_mark mark = arena_save(on->memory);
    w.scratch_size = w.key_size + w.value_size + most_scores(p);
    w.scratch = run_take(on, team_size(on->crew) * w.scratch_size, sizeof *w.scratch);
    if (p->in.significance) w.received = run_take(on, p->in.heads * p->sequences.rows, sizeof *w.received);
    if (run_failed(on)) return;
    run_parallel(on, p->sequences.sequences * p->in.heads, 1, some_heads, &w);
    if (w.received) block_sum_heads(on, p->in.significance, w.received, p->in.heads, p->sequences.rows);
    arena_rewind(on->memory, mark);
}

/* ---- The derivative ---- */

typedef struct slopes {
    const pass *p;
    const run *on;
    float *scratch;
    size_t scratch_size, scores, turned, packed; /* floats of a member's scratch, and of its parts */
} slopes;

static void rows_backward(const slopes *t, const laid_out *l, size_t sequence, size_t head, size_t first, size_t rows,
                          float *scratch) {
    const pass *p = t->p;
    const run *on = t->on;
    const gathered *in = &p->in;
    const gradient_kernels *g = on->kernels->gradient;
    const size_t size = in->head_size, column = head * size, across = round_up(rows, PANEL) + 16;
    const size_t start = p->sequences.start[sequence], row = p->queries.start[sequence] + first;
    float *probabilities = scratch, *grads = scratch + t->scores, *dropped = grads + t->scores;
    float *turned = dropped + t->scores;
    const block_room room = {.packed = turned + t->turned};
    const float *query = tensor_row(in->query, row) + column, *out = tensor_grad(p->out, row) + column;
    for (size_t i = 0; i < l->block.stretches; i++) {
        const float *key = tensor_row(in->key, start + l->first[i]) + column;
        const float *value = tensor_row(in->value, start + l->first[i]) + column;
        block_outer(on, probabilities + l->at[i], l->stride, query, in->query.stride, rows, key, in->key.stride,
                    columns_of(l, i), size, in->scale, &room);
        block_outer(on, grads + l->at[i], l->stride, out, p->out.stride, rows, value, in->value.stride,
                    columns_of(l, i), size, 1, &room);
        const size_t padding = round_up(columns_of(l, i), LANES) - columns_of(l, i);
        for (size_t j = 0; j < rows; j++)
            memset(grads + j * l->stride + l->at[i] + columns_of(l, i), 0, padding * sizeof *grads);
    }
    find_probabilities(p, l, sequence, first, rows, probabilities);
    memcpy(dropped, probabilities, rows * l->stride * sizeof *dropped);
    drop(p, l, head, row, rows, dropped);
    drop(p, l, head, row, rows, grads);
    for (size_t i = 0; i < l->block.stretches; i++) {
        g->transpose(turned, across, dropped + l->at[i], l->stride, rows, columns_of(l, i));
        block_accumulate(on, tensor_grad(in->value, start + l->first[i]) + column, in->value.stride, turned, across,
                         out, p->out.stride, columns_of(l, i), size, rows, &room);
    }
    for (size_t i = 0; i < rows; i++)
        g->softmax_backward(grads + i * l->stride, probabilities + i * l->stride, in->scale, l->width);
    for (size_t i = 0; i < l->block.stretches; i++) {
        const float *key = tensor_row(in->key, start + l->first[i]) + column;
        block_accumulate(on, tensor_grad(in->query, row) + column, in->query.stride, grads + l->at[i], l->stride, key,
                         in->key.stride, rows, size, columns_of(l, i), &room);
        g->transpose(turned, across, grads + l->at[i], l->stride, rows, columns_of(l, i));
        block_accumulate(on, tensor_grad(in->key, start + l->first[i]) + column, in->key.stride, turned, across, query,
                         in->query.stride, columns_of(l, i), size, rows, &room);
    }
}

/* The blocks of a head run one after the other, because they add to the same keys. */
static void some_backward(void *argument, size_t member, size_t first, size_t last) {
    const slopes *t = argument;
    const pass *p = t->p;
    for (size_t unit = first; unit < last; unit++) {
        const size_t sequence = unit / p->in.heads, head = unit % p->in.heads;
        laid_out l;
        if (batch_length(&p->sequences, sequence) == 0) continue;
        for (size_t number = 0; lay_out(p, sequence, head, number, &l); number++)
            for (size_t done = 0; done < l.block.count; done += l.rows)
                rows_backward(t, &l, sequence, head, l.block.first + done, size_min(l.rows, l.block.count - done),
                              t->scratch + member * t->scratch_size);
    }
}

static void backward(const run *on, void *saved) {
    pass own = *(const pass *)saved;
    own.on = on;
    slopes t = {.p = &own, .on = on, .scores = most_scores(&own)};
    const size_t longest = round_up(own.longest, PANEL) + PANEL, size = own.in.head_size;
    t.turned = round_up(longest * (MOST_QUERIES + PANEL + 16), 16);
    t.packed = round_up(size_max(packed_size(longest, size), packed_size(size, size_max(longest, MOST_QUERIES))), 16);
    t.scratch_size = 3 * t.scores + t.turned + t.packed;
    t.scratch = run_take(on, team_size(on->crew) * t.scratch_size, sizeof *t.scratch);
    if (run_failed(on)) return;
    run_parallel(on, own.sequences.sequences * own.in.heads, 1, some_backward, &t);
}

gathered gathered_heads(const projections *with, const attending_input *in, const projected *rows) {
    return (gathered){.query = rows->query,
                      .key = rows->key,
                      .value = rows->value,
                      .sequences = &in->sequences,
                      .queries = &in->queries,
                      .heads = in->heads,
                      .head_size = with->head_size,
                      .scale = 1 / sqrtf((float)with->head_size),
                      .significance = in->significance,
                      .others_only = in->others_only};
}

void attention_gathered(const run *self, tensor out, const gathered *inputs) {
    pass p = {.on = self,
              .in = *inputs,
              .sequences = *inputs->sequences,
              .queries = *inputs->queries,
              .out = out,
              .longest = batch_longest(inputs->sequences)};
    if (p.longest == 0 || run_failed(self)) return;
    if (self->tape && self->tape->attention_rate > 0) p.mask = tape_mask(self->tape);
    forward(&p);
    if (!self->tape) return;
    pass *saved = tape_push(self, backward, sizeof *saved);
    if (saved) *saved = p;
}
