/* What softmax attention and its derivative share. */
#ifndef RUBATO_ATTENTION_SOFTMAX_H
#define RUBATO_ATTENTION_SOFTMAX_H

#include "attention/attention.h"

/* The original row of query row `query`. */
static inline size_t attention_original(const attention *in, size_t query) {
    const size_t *origin = in->queries ? in->query_origin : in->origin;
    return origin ? origin[query] : query;
}

/* Where it stood in its sequence, whose keys begin at row `start`. */
static inline size_t attention_place_of(const attention *in, size_t start, size_t query) {
    return attention_original(in, query) - (in->origin ? in->origin[start] : start);
}

/* Adds the relative bias of the query rows [query, query + rows) of the sequence whose keys begin at row `start`. */
void attention_add_bias(const attention *in, size_t head, float *scores, size_t stride, size_t start, size_t query,
                        size_t rows, size_t length);

/* Adds the relative terms of the same queries. `packed`: far's columns of this head, as the second operand of a
 * product; `room` [attention_relative_room()]. */
void attention_add_relative(const kernel_table *kernels, const attention *in, size_t head, float *scores, size_t stride,
                            size_t start, size_t query, size_t rows, size_t length, const float *packed, float *room);

/* Floats of scratch for at most so many queries, whose keys and themselves are from at most so many rows. */
size_t attention_relative_room(const attention *in, size_t rows, size_t longest);

/* The derivative of that: grads [rows, length] are the scores', with their scale in them. room
 * [attention_relative_backward_room()]. Adds to what all sequences share: one head at a time. */
void attention_relative_backward(const run *on, const attention *in, size_t head, const float *grads, size_t stride,
                                 size_t start, size_t query, size_t rows, size_t length, float *room);
size_t attention_relative_backward_room(const attention *in, size_t rows, size_t longest);

/* c [rows, columns] += a b, b taken from `from` [depth, columns]; packed [packed_size(columns, depth)]. */
void attention_accumulate(const run *on, float *c, size_t c_stride, const float *a, size_t a_stride, const float *from,
                          size_t from_stride, size_t rows, size_t columns, size_t depth, float *packed);

/* far's columns of every head as second operands, [heads][packed_size(far.rows, head_size)]; NULL when memory is short.
 */
float *attention_pack_far(const run *on, const attention *in);

/* Place of a query's first probability among all of the pass, for dropout's hash. */
static inline uint32_t attention_place(size_t head, size_t row, size_t rows, size_t longest) {
    return (uint32_t)((head * rows + row) * longest);
}

/* Drops out probabilities of `rows` queries, whose places are `longest` apart. */
static inline void attention_dropout(const run *on, uint64_t key, float *x, size_t stride, size_t rows, size_t length,
                                     uint32_t place, size_t longest) {
    float rate = on->tape->attention_rate;
    for (size_t i = 0; i < rows; i++)
        on->kernels->gradient->dropout(x + i * stride, length, key, place + (uint32_t)(i * longest),
                                       dropout_threshold(rate), 1.0f / (1.0f - rate));
}

/* Pushes the derivative; mask 0: no dropout. */
void attention_softmax_record(const run *self, tensor out, const attention *inputs, const batch *sequences,
                              const batch *queries, size_t longest, uint64_t mask);

#endif
