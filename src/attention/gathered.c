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
    size_t depth;  /* features of a head's query and key */
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

/* The end of the keys of a stretch that a query of a causal model may see. */
static size_t causal_end(const pass *p, size_t sequence, size_t head, size_t query, stretch keys) {
    const gather_plan *plan = &p->in.plan;
    const size_t *order = plan->order ? plan->order(plan->of, sequence, head, false) : NULL;
    const size_t *asking = plan->order ? plan->order(plan->of, sequence, head, true) : NULL;
    const size_t own = p->in.query_place[p->queries.start[sequence] + (asking ? asking[query] : query)];
    size_t low = keys.first, high = keys.end;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (p->in.key_place[p->sequences.start[sequence] + (order ? order[middle] : middle)] <= own)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Leaves out keys that no query of the block may see. */
static void cut_block(const pass *p, size_t sequence, size_t head, query_block *block) {
    size_t kept = 0;
    for (size_t i = 0; i < block->stretches && block->count; i++) {
        stretch keys = block->keys[i];
        keys.end = causal_end(p, sequence, head, block->first + block->count - 1, keys);
        if (keys.first >= keys.end) continue;
        block->keys[kept] = keys;
        block->bonus[kept++] = block->bonus[i];
    }
    block->stretches = kept;
}

static bool lay_out(const pass *p, size_t sequence, size_t head, size_t number, laid_out *out) {
    out->block = (query_block){0};
    if (!p->in.plan.block(p->in.plan.of, sequence, head, number, &out->block)) return false;
    if (p->in.key_place) cut_block(p, sequence, head, &out->block);
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

/* The part of `labels` that a query of a head has, or of their gradients. */
static float *labels_of(const pass *p, size_t sequence, size_t head, size_t query, bool gradients) {
    const size_t row = p->queries.start[sequence] + query;
    return (gradients ? tensor_grad : tensor_row)(p->in.labels, row) + head * p->in.label_count;
}

/* Forward: adds the scores of labels to the scores `row` of some keys. Backward: adds the gradients of these scores to
 * the gradients of the labels. */
static void use_labels(const pass *p, size_t sequence, size_t head, size_t query, stretch keys, float *row,
                       bool backward) {
    float *labels = labels_of(p, sequence, head, query, backward);
    uint8_t ids[MOST_LABELLED];
    for (size_t done = keys.first; done < keys.end; done += MOST_LABELLED) {
        const stretch some = {done, size_min(done + MOST_LABELLED, keys.end)};
        float *at = row + (done - keys.first);
        p->in.plan.label(p->in.plan.of, sequence, query, some, ids);
        for (size_t j = 0; j < some.end - some.first; j++) {
            if (backward)
                labels[ids[j]] += at[j] / p->in.scale;
            else
                at[j] += labels[ids[j]];
        }
    }
}

/* The scores of keys that the query does not see become -inf. False where it sees no key. */
static bool hide(const pass *p, const laid_out *l, size_t sequence, size_t head, size_t query, float *row) {
    size_t seen = 0;
    for (size_t i = 0; i < l->block.stretches; i++) {
        const stretch keys = l->block.keys[i];
        stretch own = p->in.plan.seen ? p->in.plan.seen(p->in.plan.of, sequence, head, query, keys) : keys;
        if (p->in.key_place && own.first < own.end) {
            own.end = size_min(own.end, keys.end); /* the block's keys may be fewer than what is seen of them */
            own.end = causal_end(p, sequence, head, query, own);
        }
        if (own.first >= own.end) own = (stretch){l->first[i], l->first[i]};
        const size_t begin = own.first - l->first[i], end = own.end - l->first[i];
        const size_t whole = round_up(columns_of(l, i), LANES);
        for (size_t j = 0; j < begin; j++) row[l->at[i] + j] = -INFINITY;
        for (size_t j = end; j < whole; j++) row[l->at[i] + j] = -INFINITY;
        for (size_t j = begin; l->block.bonus[i] != 0 && j < end; j++) row[l->at[i] + j] += l->block.bonus[i];
        if (p->in.labels.data && begin < end) use_labels(p, sequence, head, query, own, row + l->at[i] + begin, false);
        if (p->in.plan.adjust && begin < end)
            p->in.plan.adjust(p->in.plan.of, sequence, head, query, own, row + l->at[i] + begin);
        seen += end - begin;
    }
    return seen > 0;
}

/* The logarithm of the sum of exponentials of the scores, which become probabilities. */
static float softmax_with_sum(const kernel_table *kernels, float *row, size_t count) {
    size_t largest = 0;
    for (size_t j = 1; j < count; j++) largest = row[j] > row[largest] ? j : largest;
    const float score = row[largest];
    kernels->softmax_f32(row, count);
    return score - logf(row[largest]);
}

/* The row of the sums that a query of a head has. */
static size_t sum_row(const pass *p, size_t sequence, size_t head, size_t query) {
    const size_t *order = p->in.plan.order ? p->in.plan.order(p->in.plan.of, sequence, head, true) : NULL;
    return p->queries.start[sequence] + (order ? order[query] : query);
}

static void find_probabilities(const pass *p, const laid_out *l, size_t sequence, size_t head, size_t first,
                               size_t rows, float *scores) {
    for (size_t i = 0; i < rows; i++) {
        float *row = scores + i * l->stride, sum = -INFINITY;
        if (!hide(p, l, sequence, head, first + i, row))
            memset(row, 0, l->width * sizeof *row);
        else if (p->in.sums.data)
            sum = softmax_with_sum(p->on->kernels, row, l->width);
        else
            p->on->kernels->softmax_f32(row, l->width);
        if (p->in.sums.data) tensor_row(p->in.sums, sum_row(p, sequence, head, first + i))[head] = sum;
    }
}

static void drop(const pass *p, const laid_out *l, size_t head, size_t query, size_t rows, float *x) {
    const uint32_t place = block_place(head, query, p->queries.rows, p->longest);
    for (size_t i = 0; p->mask && i < l->block.stretches; i++)
        block_dropout(p->on, p->mask, x + l->at[i], l->stride, rows, columns_of(l, i), place + (uint32_t)l->first[i],
                      p->longest);
}

/* ---- One head's rows ---- */

/* The rows of one head of one sequence, or their gradients: as they stand, or copies in the plan's order. */
typedef struct head_rows {
    float *query, *key, *value, *out;
    size_t query_stride, key_stride, value_stride, out_stride;
} head_rows;

typedef struct head_order {
    const size_t *queries, *keys;  /* NULL: as they stand */
    size_t query_count, key_count; /* rows of the sequence */
} head_order;

static head_order find_order(const pass *p, size_t sequence, size_t head) {
    head_order found = {.query_count = batch_length(&p->queries, sequence),
                        .key_count = batch_length(&p->sequences, sequence)};
    if (!p->in.plan.order) return found;
    found.queries = p->in.plan.order(p->in.plan.of, sequence, head, true);
    found.keys = p->in.plan.order(p->in.plan.of, sequence, head, false);
    return found;
}

/* Floats of copies of a head's rows. */
static size_t copied_floats(const pass *p) {
    const size_t rows = size_max(p->longest, batch_longest(&p->queries));
    return p->in.plan.order ? round_up(2 * rows * (p->depth + p->in.head_size), 16) : 0;
}

static head_rows rows_as_they_stand(const pass *p, size_t sequence, size_t head, bool gradients) {
    const size_t column = head * p->in.head_size, key = p->sequences.start[sequence];
    const size_t query = p->queries.start[sequence];
    float *(*row)(tensor, size_t) = gradients ? tensor_grad : tensor_row;
    return (head_rows){.query = row(p->in.query, query) + head * p->depth,
                       .key = row(p->in.key, key) + head * p->depth,
                       .value = row(p->in.value, key) + column,
                       .out = row(p->out, query) + column,
                       .query_stride = p->in.query.stride,
                       .key_stride = p->in.key.stride,
                       .value_stride = p->in.value.stride,
                       .out_stride = p->out.stride};
}

static void take_rows(float *to, size_t size, const float *from, size_t stride, const size_t *order, size_t count) {
    for (size_t i = 0; i < count; i++) memcpy(to + i * size, from + order[i] * stride, size * sizeof *to);
}

/* In `room` copies of queries, keys and values; of gradients: zeros for these, and a copy of the output's. */
static head_rows rows_in_order(const pass *p, const head_rows *from, const head_order *order, bool gradients,
                               float *room) {
    const size_t size = p->in.head_size, depth = p->depth;
    const size_t queries = order->query_count * depth, keys = order->key_count * depth;
    const size_t zeros = queries + keys + order->key_count * size;
    if (!order->keys) return *from;
    const head_rows made = {room, room + queries, room + queries + keys, room + zeros, depth, depth, size, size};
    if (gradients) {
        memset(room, 0, zeros * sizeof *room);
        take_rows(made.out, size, from->out, from->out_stride, order->queries, order->query_count);
        return made;
    }
    take_rows(made.query, depth, from->query, from->query_stride, order->queries, order->query_count);
    take_rows(made.key, depth, from->key, from->key_stride, order->keys, order->key_count);
    take_rows(made.value, size, from->value, from->value_stride, order->keys, order->key_count);
    return made;
}

/* ---- Forward ---- */

enum { FEW = 2 };

static bool is_few(const pass *p, size_t sequence) {
    return batch_length(&p->queries, sequence) <= FEW;
}

typedef struct work {
    const pass *p;
    float *scratch; /* of all members, one after the other */
    size_t scratch_size, key_size, value_size, copied_size;
    float *received; /* [heads][rows] */
} work;

/* received: [keys], in the head's order. */
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
    const head_rows *of;
    size_t first, rows; /* of the queries, within the sequence */
    bool few;           /* keys and values are not packed */
} some_rows;

/* Whether a stretch is multiplied by rows as they stand: it does not pay to pack keys and values for a few queries, and
 * a product of a few keys takes the time of a panel. */
static bool is_narrow(const laid_out *l, size_t i, const some_rows *own) {
    return own->few || columns_of(l, i) <= FEW;
}

static void score_narrow(const pass *p, const laid_out *l, size_t i, const some_rows *own, float *scores) {
    const head_rows *of = own->of;
    for (size_t row = 0; row < own->rows; row++)
        for (size_t k = 0; k < columns_of(l, i); k++)
            scores[row * l->stride + l->at[i] + k] =
                p->in.scale * p->on->kernels->dot_f32(of->query + (own->first + row) * of->query_stride,
                                                      of->key + (l->first[i] + k) * of->key_stride, p->depth);
}

static void score_wide(const pass *p, const laid_out *l, size_t i, const some_rows *own, const float *keys,
                       float *scores) {
    p->on->kernels->product_f32(&(product_f32){.a = own->of->query + own->first * own->of->query_stride,
                                               .a_stride = own->of->query_stride,
                                               .b = keys + l->first[i] * p->depth,
                                               .c = scores + l->at[i],
                                               .c_stride = l->stride,
                                               .rows = own->rows,
                                               .columns = columns_of(l, i),
                                               .depth = p->depth,
                                               .scale = p->in.scale});
}

static void mix_narrow(const pass *p, const laid_out *l, size_t i, const some_rows *own, const float *scores) {
    const head_rows *of = own->of;
    for (size_t row = 0; row < own->rows; row++)
        for (size_t k = 0; k < columns_of(l, i); k++)
            p->on->kernels->gradient->add_scaled(of->out + (own->first + row) * of->out_stride,
                                                 of->value + (l->first[i] + k) * of->value_stride,
                                                 scores[row * l->stride + l->at[i] + k], p->in.head_size);
}

static void mix_wide(const pass *p, const laid_out *l, size_t i, const some_rows *own, const float *values,
                     size_t length, const float *scores) {
    p->on->kernels->product_f32(&(product_f32){.a = scores + l->at[i],
                                               .a_stride = l->stride,
                                               .b = values + l->first[i] * PANEL,
                                               .b_depth = length,
                                               .c = own->of->out + own->first * own->of->out_stride,
                                               .c_stride = own->of->out_stride,
                                               .rows = own->rows,
                                               .columns = p->in.head_size,
                                               .depth = columns_of(l, i),
                                               .add = true});
}

/* keys: packed; behind them the packed values, and the scores. received: NULL, or as above. */
static void run_rows(const work *w, const laid_out *l, size_t sequence, size_t head, const some_rows *own, float *keys,
                     float *received) {
    const pass *p = w->p;
    float *values = keys + w->key_size, *scores = values + w->value_size;
    for (size_t i = 0; i < l->block.stretches; i++) {
        if (is_narrow(l, i, own))
            score_narrow(p, l, i, own, scores);
        else
            score_wide(p, l, i, own, keys, scores);
    }
    find_probabilities(p, l, sequence, head, own->first, own->rows, scores);
    if (received) receive(w, l, own->rows, own->first, scores, received);
    drop(p, l, head, p->queries.start[sequence] + own->first, own->rows, scores);
    for (size_t i = 0; i < own->rows; i++)
        memset(own->of->out + (own->first + i) * own->of->out_stride, 0, p->in.head_size * sizeof(float));
    for (size_t i = 0; i < l->block.stretches; i++) {
        if (is_narrow(l, i, own))
            mix_narrow(p, l, i, own, scores);
        else
            mix_wide(p, l, i, own, values, batch_length(&p->sequences, sequence), scores);
    }
}

static void run_head(const work *w, size_t sequence, size_t head, float *scratch) {
    const pass *p = w->p;
    const size_t size = p->in.head_size;
    const head_order order = find_order(p, sequence, head);
    float *received = w->received ? w->received + head * p->sequences.rows + p->sequences.start[sequence] : NULL;
    if (received) memset(received, 0, order.key_count * sizeof *received);
    if (order.key_count == 0 || order.query_count == 0) return;
    const head_rows standing = rows_as_they_stand(p, sequence, head, false);
    const head_rows own = rows_in_order(p, &standing, &order, false, scratch);
    float *keys = scratch + w->copied_size, *sums = received;
    if (received && order.keys) {
        sums = scratch + w->scratch_size - round_up(p->longest, 16);
        memset(sums, 0, order.key_count * sizeof *sums);
    }
    if (!is_few(p, sequence)) {
        p->on->kernels->pack_transposed_f32(keys, own.key, own.key_stride, order.key_count, p->depth);
        pack_straight_f32(keys + w->key_size, own.value, own.value_stride, size, order.key_count);
    }
    laid_out l;
    for (size_t number = 0; lay_out(p, sequence, head, number, &l); number++)
        for (size_t done = 0; done < l.block.count; done += l.rows) {
            const some_rows some = {&own, l.block.first + done, size_min(l.rows, l.block.count - done),
                                    is_few(p, sequence)};
            run_rows(w, &l, sequence, head, &some, keys, sums);
        }
    if (!order.keys) return;
    for (size_t i = 0; i < order.query_count; i++)
        memcpy(standing.out + order.queries[i] * standing.out_stride, own.out + i * own.out_stride,
               size * sizeof(float));
    for (size_t i = 0; received && i < order.key_count; i++) received[order.keys[i]] = sums[i];
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
              .key_size = round_up(packed_size(p->longest, p->depth), 16),
              .value_size = round_up(packed_size(p->in.head_size, p->longest), 16)};
    arena_mark mark = arena_save(on->memory);
    const size_t sums = p->in.plan.order ? round_up(p->longest, 16) : 0;
    w.copied_size = copied_floats(p);
    w.scratch_size = w.copied_size + w.key_size + w.value_size + most_scores(p) + sums;
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
    size_t scratch_size, scores, turned, packed, copied; /* floats of a member's scratch, and of its parts */
} slopes;

/* of, to: a head's rows and their gradients. */
static void rows_backward(const slopes *t, const laid_out *l, size_t sequence, size_t head, const head_rows *of,
                          const head_rows *to, size_t first, size_t rows, float *scratch) {
    const pass *p = t->p;
    const run *on = t->on;
    const gradient_kernels *g = on->kernels->gradient;
    const size_t size = p->in.head_size, depth = p->depth, across = round_up(rows, PANEL) + 16;
    float *probabilities = scratch, *grads = scratch + t->scores, *dropped = grads + t->scores;
    float *turned = dropped + t->scores;
    const block_room room = {.packed = turned + t->turned};
    const float *query = of->query + first * of->query_stride, *out = to->out + first * to->out_stride;
    for (size_t i = 0; i < l->block.stretches; i++) {
        block_outer(on, probabilities + l->at[i], l->stride, query, of->query_stride, rows,
                    of->key + l->first[i] * of->key_stride, of->key_stride, columns_of(l, i), depth, p->in.scale,
                    &room);
        block_outer(on, grads + l->at[i], l->stride, out, to->out_stride, rows,
                    of->value + l->first[i] * of->value_stride, of->value_stride, columns_of(l, i), size, 1, &room);
        const size_t padding = round_up(columns_of(l, i), LANES) - columns_of(l, i);
        for (size_t j = 0; j < rows; j++)
            memset(grads + j * l->stride + l->at[i] + columns_of(l, i), 0, padding * sizeof *grads);
    }
    find_probabilities(p, l, sequence, head, first, rows, probabilities);
    memcpy(dropped, probabilities, rows * l->stride * sizeof *dropped);
    drop(p, l, head, p->queries.start[sequence] + first, rows, dropped);
    drop(p, l, head, p->queries.start[sequence] + first, rows, grads);
    for (size_t i = 0; i < l->block.stretches; i++) {
        g->transpose(turned, across, dropped + l->at[i], l->stride, rows, columns_of(l, i));
        block_accumulate(on, to->value + l->first[i] * to->value_stride, to->value_stride, turned, across, out,
                         to->out_stride, columns_of(l, i), size, rows, &room);
    }
    for (size_t i = 0; i < rows; i++)
        g->softmax_backward(grads + i * l->stride, probabilities + i * l->stride, p->in.scale, l->width);
    for (size_t i = 0; i < rows && p->in.sums.data; i++)
        g->add_scaled(grads + i * l->stride, probabilities + i * l->stride,
                      p->in.scale * tensor_grad(p->in.sums, sum_row(p, sequence, head, first + i))[head], l->width);
    for (size_t i = 0; i < rows && p->in.labels.data; i++)
        for (size_t j = 0; j < l->block.stretches; j++) {
            const stretch keys = l->block.keys[j];
            use_labels(p, sequence, head, first + i, keys, grads + i * l->stride + l->at[j] + keys.first - l->first[j],
                       true);
        }
    for (size_t i = 0; i < l->block.stretches; i++) {
        block_accumulate(on, to->query + first * to->query_stride, to->query_stride, grads + l->at[i], l->stride,
                         of->key + l->first[i] * of->key_stride, of->key_stride, rows, depth, columns_of(l, i), &room);
        g->transpose(turned, across, grads + l->at[i], l->stride, rows, columns_of(l, i));
        block_accumulate(on, to->key + l->first[i] * to->key_stride, to->key_stride, turned, across, query,
                         of->query_stride, columns_of(l, i), depth, rows, &room);
    }
}

static void give_rows(const run *on, float *to, size_t stride, const float *from, size_t size, const size_t *order,
                      size_t count) {
    for (size_t i = 0; i < count; i++) on->kernels->gradient->add(to + order[i] * stride, from + i * size, size);
}

/* The blocks of a head run one after the other, because they add to the same keys. */
static void head_backward(const slopes *t, size_t sequence, size_t head, float *scratch) {
    const pass *p = t->p;
    const head_order order = find_order(p, sequence, head);
    if (order.key_count == 0 || order.query_count == 0) return;
    const head_rows standing = rows_as_they_stand(p, sequence, head, false);
    const head_rows slopes_standing = rows_as_they_stand(p, sequence, head, true);
    const head_rows of = rows_in_order(p, &standing, &order, false, scratch);
    const head_rows to = rows_in_order(p, &slopes_standing, &order, true, scratch + t->copied);
    laid_out l;
    for (size_t number = 0; lay_out(p, sequence, head, number, &l); number++)
        for (size_t done = 0; done < l.block.count; done += l.rows)
            rows_backward(t, &l, sequence, head, &of, &to, l.block.first + done, size_min(l.rows, l.block.count - done),
                          scratch + 2 * t->copied);
    if (!order.keys) return;
    give_rows(t->on, slopes_standing.query, slopes_standing.query_stride, to.query, p->depth, order.queries,
              order.query_count);
    give_rows(t->on, slopes_standing.key, slopes_standing.key_stride, to.key, p->depth, order.keys, order.key_count);
    give_rows(t->on, slopes_standing.value, slopes_standing.value_stride, to.value, p->in.head_size, order.keys,
              order.key_count);
}

static void some_backward(void *argument, size_t member, size_t first, size_t last) {
    const slopes *t = argument;
    for (size_t unit = first; unit < last; unit++)
        head_backward(t, unit / t->p->in.heads, unit % t->p->in.heads, t->scratch + member * t->scratch_size);
}

static void backward(const run *on, void *saved) {
    pass own = *(const pass *)saved;
    own.on = on;
    slopes t = {.p = &own, .on = on, .scores = most_scores(&own), .copied = copied_floats(&own)};
    const size_t longest = round_up(own.longest, PANEL) + PANEL, size = size_max(own.in.head_size, own.depth);
    t.turned = round_up(longest * (MOST_QUERIES + PANEL + 16), 16);
    t.packed = round_up(size_max(packed_size(longest, size), packed_size(size, size_max(longest, MOST_QUERIES))), 16);
    t.scratch_size = 2 * t.copied + 3 * t.scores + t.turned + t.packed;
    t.scratch = run_take(on, team_size(on->crew) * t.scratch_size, sizeof *t.scratch);
    if (run_failed(on)) return;
    run_parallel(on, own.sequences.sequences * own.in.heads, 1, some_backward, &t);
}

typedef struct whole_plan {
    batch keys, queries;
    size_t block; /* queries of a block; in a causal model early blocks see fewer keys */
} whole_plan;

enum { CAUSAL_BLOCK = 64 };

static bool whole_block(const void *of, size_t sequence, size_t head, size_t number, query_block *out) {
    const whole_plan *plan = of;
    const size_t count = batch_length(&plan->queries, sequence);
    const size_t first = number <= count / plan->block ? number * plan->block : count;
    (void)head;
    if (first >= count) return false;
    *out = (query_block){.first = first,
                         .count = size_min(plan->block, count - first),
                         .keys = {{0, batch_length(&plan->keys, sequence)}},
                         .stretches = 1};
    return true;
}

bool gathered_whole(const run *on, gathered *heads, batch keys, batch queries) {
    whole_plan *plan = run_take(on, 1, sizeof *plan); /* lives as long as the tape */
    if (run_failed(on)) return false;
    *plan = (whole_plan){keys, queries, heads->key_place ? CAUSAL_BLOCK : SIZE_MAX};
    heads->sequences = &plan->keys;
    heads->queries = &plan->queries;
    heads->plan = (gather_plan){.of = plan, .block = whole_block};
    return true;
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
                      .key_place = in->places,
                      .query_place = in->places,
                      .significance = in->significance,
                      .others_only = in->others_only};
}

void attention_gathered(const run *self, tensor out, const gathered *inputs) {
    pass p = {.on = self,
              .in = *inputs,
              .sequences = *inputs->sequences,
              .queries = *inputs->queries,
              .out = out,
              .longest = batch_longest(inputs->sequences),
              .depth = inputs->depth ? inputs->depth : inputs->head_size};
    if (p.longest == 0 || run_failed(self)) return;
    if (self->tape && self->tape->attention_rate > 0) p.mask = tape_mask(self->tape);
    forward(&p);
    if (!self->tape) return;
    pass *saved = tape_push(self, backward, sizeof *saved);
    if (saved) *saved = p;
}
