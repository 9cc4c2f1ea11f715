/* Products of blocks of rows, and dropout of probabilities: building blocks of mechanisms and their derivatives. */
#ifndef RUBATO_ATTENTION_BLOCK_H
#define RUBATO_ATTENTION_BLOCK_H

#include "attention/operand.h"
#include "tensor/tape.h"

/* What a product of blocks needs: room for the packed second operand, [packed_size(columns, depth)], and, where it is
 * in 16 bits, for both operands in these: as much again, and low_room(rows) of low_stride(words_bf16(depth)), aligned
 * to 64 bytes. */
typedef struct block_room {
    float *packed;
    const half_kernels *half; /* NULL: f32; not integers */
    uint32_t *low, *rows;
} block_room;

/* c [rows, columns] += a b, b taken from `from` [depth, columns]. */
void block_accumulate(const run *on, float *c, size_t c_stride, const float *a, size_t a_stride, const float *from,
                      size_t from_stride, size_t rows, size_t columns, size_t depth, const block_room *room);

/* out [rows, length] = scale * a b^T, a [rows, size], b [length, size]. */
void block_outer(const run *on, float *out, size_t stride, const float *a, size_t a_stride, size_t rows, const float *b,
                 size_t b_stride, size_t length, size_t size, float scale, const block_room *room);

/* out [rows] = the sum over heads of received [heads][rows]: the attention that rows received. */
void block_sum_heads(const run *on, float *out, const float *received, size_t heads, size_t rows);

/* The index of a query's first probability among all of the pass, for dropout's hash. */
static inline uint32_t block_place(size_t head, size_t row, size_t rows, size_t longest) {
    return (uint32_t)((head * rows + row) * longest);
}

/* Drops out probabilities of `rows` queries, whose indices are `longest` apart, at the tape's rate for attention. */
void block_dropout(const run *on, uint64_t key, float *x, size_t stride, size_t rows, size_t length, uint32_t place,
                   size_t longest);

#endif
