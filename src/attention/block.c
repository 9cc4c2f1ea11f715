/* Products of blocks of rows. */
#include "attention/block.h"

void block_accumulate(const run *on, float *c, size_t c_stride, const float *a, size_t a_stride, const float *from,
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

void block_outer(const run *on, float *out, size_t stride, const float *a, size_t a_stride, size_t rows, const float *b,
                 size_t b_stride, size_t length, size_t size, float scale, float *packed) {
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

void block_dropout(const run *on, uint64_t key, float *x, size_t stride, size_t rows, size_t length, uint32_t place,
                   size_t longest) {
    float rate = on->tape->attention_rate;
    for (size_t i = 0; i < rows; i++)
        on->kernels->gradient->dropout(x + i * stride, length, key, place + (uint32_t)(i * longest),
                                       dropout_threshold(rate), 1.0f / (1.0f - rate));
}
