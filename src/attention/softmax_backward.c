/* The derivative of softmax attention. Probabilities are computed again from queries and keys, a head of a sequence at
 * a time, so that a recorded pass holds no [n, n] matrix. With P the probabilities, D their dropout mask, O' the
 * gradient of the output:
 *   V' += (P D)^T O'      P' = (O' V^T) D      S' = P (P' - sum P P') scale      Q' += S' K      K' += S'^T Q */
#include <stddef.h>
#include <string.h>

#include "attention/softmax.h"
#include "base/checked.h"

typedef struct saved_attention {
    tensor out;
    attention in;
    batch sequences, queries;
    size_t longest;
    uint64_t mask;
} saved_attention;

typedef struct task {
    const run *on;
    const saved_attention *saved;
    float *scratch;
    size_t scratch_size, square; /* floats of a member; of one [n, n] matrix */
    float *far;                  /* packed, for relative terms */
    size_t relative_size;        /* of a member's scratch, at its end */
} task;

void attention_accumulate(const run *on, float *c, size_t c_stride, const float *a, size_t a_stride, const float *from,
                          size_t from_stride, size_t rows, size_t columns, size_t depth, float *packed) {
    pack_straight_f32(packed, from, from_stride, columns, depth);
    product_f32 product = {.a = a,
                           .a_stride = a_stride,
                           .b = packed,
                           .c = c,
                           .c_stride = c_stride,
                           .rows = rows,
                           .columns = columns,
                           .depth = depth,
                           .add = true};
    on->kernels->product_f32(&product);
}

/* out [rows, length] = scale * a b^T, a [rows, size], b [length, size]. */
static void outer(const run *on, float *out, size_t stride, const float *a, size_t a_stride, size_t rows,
                  const float *b, size_t b_stride, size_t length, size_t size, float scale, float *packed) {
    on->kernels->pack_transposed_f32(packed, b, b_stride, length, size);
    product_f32 product = {.a = a,
                           .a_stride = a_stride,
                           .b = packed,
                           .c = out,
                           .c_stride = stride,
                           .rows = rows,
                           .columns = length,
                           .depth = size,
                           .scale = scale};
    on->kernels->product_f32(&product);
}

/* The bias joins the scores after their scale, which the scores' gradient has in it. */
static void collect_bias(const attention *in, size_t head, const float *scores, size_t stride, size_t start,
                         size_t query, size_t rows, size_t length) {
    float *grad = in->bias_grad + head * in->bias_stride + in->bias_reach;
    const size_t *origin = in->origin ? in->origin + start : NULL;
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < length; k++) {
            size_t place = attention_place_of(in, start, query + i), key = origin ? origin[k] - origin[0] : k;
            grad[(ptrdiff_t)key - (ptrdiff_t)place] += scores[i * stride + k] / in->scale;
        }
}

static void one_head(const task *t, size_t sequence, size_t head, float *scratch) {
    const saved_attention *s = t->saved;
    const run *on = t->on;
    const attention *in = &s->in;
    const gradient_kernels *g = on->kernels->gradient;
    size_t start = s->sequences.start[sequence], n = batch_length(&s->sequences, sequence), size = in->head_size;
    size_t first = s->queries.start[sequence], m = batch_length(&s->queries, sequence);
    if (n == 0 || m == 0) return;
    size_t stride = round_up(n, PANEL) + 16, column = head * size;
    float *p = scratch, *d = p + t->square, *turned = d + t->square, *packed = turned + t->square;
    const float *query = in->query.data + first * in->query.stride + column;
    const float *key = in->key.data + start * in->key.stride + column;
    const float *value = in->value.data + start * in->value.stride + column;
    const float *out = s->out.grad + first * s->out.stride + column;
    outer(on, p, stride, query, in->query.stride, m, key, in->key.stride, n, size, in->scale, packed);
    if (in->bias) attention_add_bias(in, head, p, stride, start, first, m, n);
    float *relative = scratch + t->scratch_size - t->relative_size;
    if (in->relative)
        attention_add_relative(on->kernels, in, head, p, stride, start, first, m, n,
                               t->far + head * packed_size(in->relative->far.rows, size), relative);
    for (size_t i = 0; i < m; i++) on->kernels->softmax_f32(p + i * stride, n);
    outer(on, d, stride, out, s->out.stride, m, value, in->value.stride, n, size, 0, packed);
    const float *dropped = p;
    if (s->mask) {
        uint32_t place = attention_place(head, first, s->queries.rows, s->longest);
        attention_dropout(on, s->mask, d, stride, m, n, place, s->longest);
        for (size_t i = 0; i < m; i++) memcpy(packed + i * stride, p + i * stride, n * sizeof *p);
        attention_dropout(on, s->mask, packed, stride, m, n, place, s->longest);
        dropped = packed;
    }
    g->transpose(turned, stride, dropped, stride, m, n);
    attention_accumulate(on, in->value.grad + start * in->value.stride + column, in->value.stride, turned, stride, out,
                         s->out.stride, n, size, m, packed);
    for (size_t i = 0; i < m; i++) g->softmax_backward(d + i * stride, p + i * stride, in->scale, n);
    if (in->relative) attention_relative_backward(on, in, head, d, stride, start, first, m, n, relative);
    if (in->bias_grad) collect_bias(in, head, d, stride, start, first, m, n);
    attention_accumulate(on, in->query.grad + first * in->query.stride + column, in->query.stride, d, stride, key,
                         in->key.stride, m, size, n, packed);
    g->transpose(turned, stride, d, stride, m, n);
    attention_accumulate(on, in->key.grad + start * in->key.stride + column, in->key.stride, turned, stride, query,
                         in->query.stride, n, size, m, packed);
}

static void some_heads(void *argument, size_t member, size_t first, size_t last) {
    const task *t = argument;
    size_t heads = t->saved->in.heads;
    for (size_t unit = first; unit < last; unit++)
        one_head(t, unit / heads, unit % heads, t->scratch + member * t->scratch_size);
}

/* All sequences of some heads: what they share of a head has one owner, and its sums one order. */
static void whole_heads(void *argument, size_t member, size_t first, size_t last) {
    const task *t = argument;
    for (size_t head = first; head < last; head++)
        for (size_t i = 0; i < t->saved->sequences.sequences; i++)
            one_head(t, i, head, t->scratch + member * t->scratch_size);
}

static void attention_backward(const run *on, void *saved) {
    const saved_attention *s = saved;
    size_t n = s->longest, size = s->in.head_size;
    task t = {.on = on, .saved = s, .square = n * (round_up(n, PANEL) + 16)};
    size_t packed = size_max(size_max(packed_size(n, size), packed_size(size, n)), t.square);
    t.scratch_size = round_up(3 * t.square + packed, 16);
    if (s->in.relative) {
        size_t original = s->in.relative->reach + 1;
        t.relative_size = round_up(size_max(attention_relative_room(&s->in, n, original),
                                            attention_relative_backward_room(&s->in, n, original)),
                                   16);
        t.scratch_size += t.relative_size;
        t.far = attention_pack_far(on, &s->in);
    }
    t.scratch = arena_take_array(on->memory, team_size(on->crew) * t.scratch_size, sizeof(float));
    if (!t.scratch || (s->in.relative && !t.far)) {
        on->tape->failed = true;
        return;
    }
    if (s->in.bias_grad || s->in.relative)
        run_parallel(on, s->in.heads, 1, whole_heads, &t);
    else
        run_parallel(on, s->sequences.sequences * s->in.heads, 1, some_heads, &t);
}

void attention_softmax_record(const run *self, tensor out, const attention *inputs, const batch *sequences,
                              const batch *queries, size_t longest, uint64_t mask) {
    saved_attention *saved = tape_push(self, attention_backward, sizeof *saved);
    if (saved) *saved = (saved_attention){out, *inputs, *sequences, *queries, longest, mask};
}
