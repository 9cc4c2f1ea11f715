/* Softmax attention over packed sequences. A unit of work is one head of one sequence: its keys are packed as the
 * second operand of the score product, its values as that of the output product, and blocks of queries run through
 * both.
 *
 * The backward pass computes the probabilities again from queries and keys, for a block of queries at a time, so that
 * neither pass holds an [n, n] matrix. With P the probabilities, D their dropout mask, O' the gradient of the output:
 *   V' += (P D)^T O'      P' = (O' V^T) D      S' = P (P' - sum P P') scale      Q' += S' K      K' += S'^T Q */
#include "attention/softmax.h"

#include <math.h>
#include <string.h>

#include "attention/block.h"
#include "attention/operand.h"
#include "base/checked.h"
#include "tensor/watch.h"

/* A block has at most sqrt(SCORE_BYTES / 4) queries: all queries of the sequence, or as many as have room for their
 * scores. */
enum { SCORE_BYTES = 128 * 1024, LEAST_QUERIES = 14, MOST_QUERIES = 182 };
enum { BACKWARD_BYTES = 512 * 1024, LEAST_BACKWARD = 64 }; /* the same of the derivative */

/* ---- Terms ---- */

/* The prepared terms of one pass. */
typedef struct ready_terms {
    size_t count;
    void *prepared[MOST_TERMS];
    size_t room; /* floats of scratch, for the term that needs the most */
} ready_terms;

static ready_terms terms_ready(const run *on, const attention *in, size_t queries, bool backward) {
    ready_terms ready = {0};
    for (; ready.count < MOST_TERMS && in->terms[ready.count].kind; ready.count++) {
        const score_term *term = &in->terms[ready.count];
        if (term->kind->prepare) ready.prepared[ready.count] = term->kind->prepare(term->values, on, in);
        if (term->kind->room)
            ready.room = size_max(ready.room, round_up(term->kind->room(term->values, in, queries, backward), 16));
    }
    return ready;
}

static void terms_add(const ready_terms *ready, const kernel_table *kernels, const attention *in, const score_block *to,
                      float *room) {
    for (size_t i = 0; i < ready->count; i++)
        in->terms[i].kind->add(in->terms[i].values, ready->prepared[i], kernels, in, to, room);
}

/* ---- Forward ---- */

typedef struct work {
    const run *run;
    const attention *in;
    const batch *sequences, *queries;
    tensor out;
    float *scratch; /* of all members, one after the other */
    size_t scratch_size;
    size_t key_size, value_size, score_size, low_size; /* its parts; that of the terms is at its end */
    ready_terms terms;
    float *received; /* [heads][rows]: significance by head */
    uint64_t mask;   /* dropout's key; 0: none */
    size_t longest;
} work;

static size_t query_block(size_t length) {
    return size_min(length, size_max(SCORE_BYTES / sizeof(float) / length, LEAST_QUERIES));
}

/* One head of one sequence. */
typedef struct head_work {
    size_t column;             /* of its first column */
    size_t start, length;      /* rows of its keys */
    size_t query, query_count; /* the first row of its queries, and their number */
    operand keys, values;
    float *scores;
    uint32_t *room;  /* for the rows of a block in low precision */
    float steepness; /* a factor of the scores in the softmax */
} head_work;

/* Keys and values that are in bfloat16 already. A word holds two neighbours along the depth: words of keys are moved
 * like floats, and rows of values are paired. The scale is left to the softmax. */
static void pack_halves(const kernel_table *kernels, const attention *in, head_work *u) {
    const size_t size = in->head_size, first = u->column / 2, words = words_bf16(u->length);
    const uint32_t *keys = tensor_half_row(in->key, u->start) + first;
    const uint32_t *values = tensor_half_row(in->value, u->start) + first;
    kernels->pack_transposed_f32((float *)(void *)u->keys.low, (const float *)(const void *)keys, in->key.stride,
                                 u->length, size / 2);
    for (size_t column = 0; column < size; column += PANEL)
        u->values.half->pairs(u->values.low + column * words, values + column / 2, in->value.stride,
                              size_min(size - column, PANEL), u->length);
    u->steepness = in->scale;
}

static void prepare(const work *w, float *scratch, head_work *u) {
    const attention *in = w->in;
    const kernel_table *kernels = w->run->kernels;
    const half_kernels *half = operand_half(kernels, in->low, u->length);
    const size_t size = in->head_size;
    u->keys =
        (operand){.half = half, .wide = scratch, .depth = size, .columns = u->length, .scale = in->scale, .unit = 1};
    u->values = (operand){
        .half = half, .wide = scratch + w->key_size, .depth = u->length, .columns = size, .scale = 1, .unit = 1};
    u->scores = u->values.wide + w->value_size;
    u->steepness = 1;
    if (!in->key.half) {
        kernels->pack_transposed_f32(u->keys.wide, tensor_row(in->key, u->start) + u->column, in->key.stride, u->length,
                                     size);
        pack_straight_f32(u->values.wide, tensor_row(in->value, u->start) + u->column, in->value.stride, size,
                          u->length);
    }
    if (!half) return;
    u->keys.low = (uint32_t *)(void *)(u->scores + w->score_size);
    u->values.low = u->keys.low + w->key_size;
    u->room = u->values.low + w->value_size;
    u->keys.column_scale = (float *)(void *)(u->room + w->low_size);
    u->values.column_scale = u->keys.column_scale + round_up(u->length, PANEL);
    if (in->key.half) {
        pack_halves(kernels, in, u);
        return;
    }
    if (half->integers) {
        u->keys.unit = half->unit(tensor_row(in->query, u->query) + u->column, in->query.stride, u->query_count, size);
        u->values.unit = 1.0f / INT16_MOST; /* the unit of probabilities */
    }
    operand_lower(&u->keys);
    operand_lower(&u->values);
}

static void show_scores(const work *w, const score_block *block, size_t sequence) {
    tensor rows = {.data = block->scores, .rows = block->rows, .columns = block->length, .stride = block->stride};
    run_show(w->run, &(sight){.what = WATCH_SCORES,
                              .layer = w->in->layer,
                              .rows = rows,
                              .packed = w->sequences,
                              .alive = w->in->origin,
                              .heads = w->in->heads,
                              .sequence = sequence,
                              .head = block->head,
                              .first = block->query - w->queries->start[sequence]});
}

static void divide_row(float *row, size_t columns, float by) {
    const float factor = 1 / by;
    for (size_t j = 0; j < columns; j++) row[j] *= factor;
}

static void run_head(const work *w, size_t sequence, size_t head, float *scratch) {
    const attention *in = w->in;
    const kernel_table *kernels = w->run->kernels;
    head_work u = {.column = head * in->head_size,
                   .start = w->sequences->start[sequence],
                   .length = batch_length(w->sequences, sequence),
                   .query = w->queries->start[sequence],
                   .query_count = batch_length(w->queries, sequence)};
    if (u.length == 0 || u.query_count == 0) return; /* the sequence has left */
    prepare(w, scratch, &u);
    const size_t length = u.length, block = query_block(length), stride = round_up(length, PANEL) + 16;
    float *received = w->received ? w->received + head * w->sequences->rows + u.start : NULL;
    if (received) memset(received, 0, length * sizeof *received);
    for (size_t first = 0; first < u.query_count; first += block) {
        size_t rows = size_min(block, u.query_count - first), query = u.query + first;
        float *scores = u.scores, *out = tensor_row(w->out, query) + u.column;
        score_block all = {head, scores, stride, u.start, length, query, rows};
        if (in->query.half)
            operand_multiply_half(scores, stride, tensor_half_row(in->query, query) + u.column / 2, in->query.stride,
                                  rows, &u.keys, u.room);
        else
            operand_multiply(kernels, scores, stride, tensor_row(in->query, query) + u.column, in->query.stride, rows,
                             &u.keys, u.room);
        terms_add(&w->terms, kernels, in, &all, scratch + w->scratch_size - w->terms.room);
        if (run_watches(w->run, WATCH_SCORES)) show_scores(w, &all, sequence);
        float sums[MOST_QUERIES]; /* of the exponentials in a row of scores; 1: they are probabilities */
        for (size_t i = 0; i < rows; i++) {
            float *row = scores + i * stride;
            sums[i] = 1;
            if (u.values.half)
                sums[i] = u.values.half->softmax(u.room + i * low_stride(words_bf16(length)), row, length, u.steepness);
            else
                kernels->softmax_f32(row, length);
            if (!received) continue;
            kernels->gradient->add_scaled(received, row, 1 / sums[i], length);
            if (in->others_only) received[first + i] -= row[first + i] / sums[i];
        }
        if (w->mask)
            block_dropout(w->run, w->mask, scores, stride, rows, length,
                          block_place(head, query, w->queries->rows, w->longest), w->longest);
        if (!u.values.half) {
            operand_multiply(kernels, out, w->out.stride, scores, stride, rows, &u.values, u.room);
            continue;
        }
        if (w->mask) /* the exponentials that stayed */
            operand_multiply(kernels, out, w->out.stride, scores, stride, rows, &u.values, u.room);
        else
            operand_multiply_low(out, w->out.stride, u.room, rows, &u.values);
        for (size_t i = 0; i < rows; i++)
            if (!u.values.half->integers || isnan(sums[i])) divide_row(out + i * w->out.stride, in->head_size, sums[i]);
    }
}

static void some_heads(void *argument, size_t member, size_t first, size_t last) {
    const work *w = argument;
    for (size_t unit = first; unit < last; unit++)
        run_head(w, unit / w->in->heads, unit % w->in->heads, w->scratch + member * w->scratch_size);
}

/* ---- The derivative ---- */

typedef struct saved_attention {
    tensor out;
    attention in;
    batch sequences, queries;
    size_t longest;
    uint64_t mask;
} saved_attention;

typedef struct slopes {
    const run *on;
    const saved_attention *saved;
    float *scratch;
    size_t block;                        /* the most queries of a block */
    size_t scratch_size, scores, packed; /* floats of a member's scratch, of a block's scores, of a packed operand */
    ready_terms terms;                   /* their scratch is at the end of a member's */
} slopes;

/* The m queries of one head from row `first`, with all n keys of their sequence. */
static void block_backward(const slopes *t, size_t sequence, size_t head, size_t first, size_t m, float *scratch) {
    const saved_attention *s = t->saved;
    const run *on = t->on;
    const attention *in = &s->in;
    const gradient_kernels *g = on->kernels->gradient;
    size_t start = s->sequences.start[sequence], n = batch_length(&s->sequences, sequence), size = in->head_size;
    size_t stride = round_up(n, PANEL) + 16, across = round_up(m, PANEL) + 16, column = head * size;
    float *p = scratch, *d = p + t->scores, *turned = d + t->scores, *packed = turned + t->scores;
    float *of_terms = scratch + t->scratch_size - t->terms.room;
    block_room room = {.packed = packed};
    if (in->low) {
        room.half = on->kernels->low.half;
        room.low = (uint32_t *)(void *)(packed + t->packed);
        room.rows = room.low + t->packed;
    }
    const float *query = in->query.data + first * in->query.stride + column;
    const float *key = in->key.data + start * in->key.stride + column;
    const float *value = in->value.data + start * in->value.stride + column;
    const float *out = s->out.grad + first * s->out.stride + column;
    score_block scores = {head, p, stride, start, n, first, m}, grads = {head, d, stride, start, n, first, m};
    block_outer(on, p, stride, query, in->query.stride, m, key, in->key.stride, n, size, in->scale, &room);
    terms_add(&t->terms, on->kernels, in, &scores, of_terms);
    for (size_t i = 0; i < m; i++) on->kernels->softmax_f32(p + i * stride, n);
    block_outer(on, d, stride, out, s->out.stride, m, value, in->value.stride, n, size, 1, &room);
    const float *dropped = p;
    if (s->mask) {
        uint32_t place = block_place(head, first, s->queries.rows, s->longest);
        block_dropout(on, s->mask, d, stride, m, n, place, s->longest);
        for (size_t i = 0; i < m; i++) memcpy(packed + i * stride, p + i * stride, n * sizeof *p);
        block_dropout(on, s->mask, packed, stride, m, n, place, s->longest);
        dropped = packed;
    }
    g->transpose(turned, across, dropped, stride, m, n);
    block_accumulate(on, in->value.grad + start * in->value.stride + column, in->value.stride, turned, across, out,
                     s->out.stride, n, size, m, &room);
    for (size_t i = 0; i < m; i++) g->softmax_backward(d + i * stride, p + i * stride, in->scale, n);
    for (size_t i = 0; i < t->terms.count; i++)
        if (in->terms[i].kind->backward) in->terms[i].kind->backward(in->terms[i].values, on, in, &grads, of_terms);
    block_accumulate(on, in->query.grad + first * in->query.stride + column, in->query.stride, d, stride, key,
                     in->key.stride, m, size, n, &room);
    g->transpose(turned, across, d, stride, m, n);
    block_accumulate(on, in->key.grad + start * in->key.stride + column, in->key.stride, turned, across, query,
                     in->query.stride, n, size, m, &room);
}

/* One head of one sequence, some queries at a time, so that memory does not grow with the square of the length. */
static void head_backward(const slopes *t, size_t sequence, size_t head, float *scratch) {
    const batch *queries = &t->saved->queries;
    if (batch_length(&t->saved->sequences, sequence) == 0) return;
    const size_t end = queries->start[sequence + 1];
    for (size_t first = queries->start[sequence]; first < end; first += t->block)
        block_backward(t, sequence, head, first, size_min(t->block, end - first), scratch);
}

static void some_backward(void *argument, size_t member, size_t first, size_t last) {
    const slopes *t = argument;
    size_t heads = t->saved->in.heads;
    for (size_t unit = first; unit < last; unit++)
        head_backward(t, unit / heads, unit % heads, t->scratch + member * t->scratch_size);
}

/* All sequences of some heads. One thread owns the gradients that all sequences share for a head, so that their sums
 * have one order. */
static void whole_backward(void *argument, size_t member, size_t first, size_t last) {
    const slopes *t = argument;
    for (size_t head = first; head < last; head++)
        for (size_t i = 0; i < t->saved->sequences.sequences; i++)
            head_backward(t, i, head, t->scratch + member * t->scratch_size);
}

static void attention_backward(const run *on, void *saved) {
    const saved_attention *s = saved;
    size_t n = s->longest, size = s->in.head_size;
    slopes t = {.on = on, .saved = s};
    t.block = size_min(n, size_max(BACKWARD_BYTES / sizeof(float) / n, LEAST_BACKWARD));
    /* of a block by keys, or of keys by a block */
    t.scores = round_up(size_max(t.block * (round_up(n, PANEL) + 16), n * (round_up(t.block, PANEL) + 16)), 16);
    t.packed = round_up(size_max(size_max(packed_size(n, size), packed_size(size, n)), t.scores), 16);
    t.terms = terms_ready(on, &s->in, t.block, true);
    t.scratch_size = 3 * t.scores + t.packed + t.terms.room;
    if (s->in.low) t.scratch_size += t.packed + round_up(low_room(n) * low_stride(words_bf16(size_max(n, size))), 16);
    t.scratch = run_take(on, team_size(on->crew) * t.scratch_size, sizeof(float));
    if (run_failed(on)) return;
    if (t.terms.count)
        run_parallel(on, s->in.heads, 1, whole_backward, &t);
    else
        run_parallel(on, s->sequences.sequences * s->in.heads, 1, some_backward, &t);
}

/* ---- Both ---- */

bool attention_learns_low(const kernel_table *kernels) {
    return kernels->low.half && !kernels->low.half->integers;
}

bool attention_reads_half(const kernel_table *kernels, size_t head_size) {
    return attention_learns_low(kernels) && kernels->low.half->least == 0 && head_size % 2 == 0;
}

void attention_softmax(const run *self, tensor out, const attention *inputs, const batch *sequences) {
    size_t longest = batch_longest(sequences);
    if (longest == 0 || run_failed(self)) return;
    work w = {.run = self,
              .in = inputs,
              .sequences = sequences,
              .queries = inputs->queries ? inputs->queries : sequences,
              .out = out,
              .longest = longest};
    w.key_size = packed_size(longest, inputs->head_size);
    w.value_size = packed_size(inputs->head_size, longest);
    /* blocks of short sequences stay below twice the budget, rounding included */
    w.score_size = size_max(SCORE_BYTES / sizeof(float) * 2, LEAST_QUERIES * (round_up(longest, PANEL) + 16));
    w.scratch_size = round_up(w.key_size + w.value_size + w.score_size, 16);
    if (inputs->low) {
        /* words for keys and values, and for the rows of a block, queries or probabilities; scales of columns */
        w.low_size = size_max(w.score_size, low_room(MOST_QUERIES) * low_stride(words_bf16(inputs->head_size)));
        size_t scales = round_up(longest, PANEL) + round_up(inputs->head_size, PANEL);
        w.scratch_size += round_up(w.key_size + w.value_size + w.low_size + scales, 16);
    }
    arena_mark mark = arena_save(self->memory);
    w.terms = terms_ready(self, inputs, MOST_QUERIES, false);
    w.scratch_size += w.terms.room;
    w.scratch = run_take(self, w.scratch_size * team_size(self->crew), sizeof(float));
    if (inputs->significance) w.received = run_take(self, inputs->heads * sequences->rows, sizeof(float));
    if (run_failed(self)) return;
    if (self->tape && self->tape->attention_rate > 0) w.mask = tape_mask(self->tape);
    run_parallel(self, sequences->sequences * inputs->heads, 1, some_heads, &w);
    if (w.received) block_sum_heads(self, inputs->significance, w.received, inputs->heads, sequences->rows);
    arena_rewind(self->memory, mark);
    if (!self->tape) return;
    saved_attention *saved = tape_push(self, attention_backward, sizeof *saved);
    if (saved) *saved = (saved_attention){out, *inputs, *sequences, *w.queries, longest, w.mask};
}
