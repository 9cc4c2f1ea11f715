/* Products of blocks of rows. */
#include "attention/block.h"

#include <string.h>

static operand second(const block_room *room, size_t depth, size_t columns, float scale) {
    return (operand){.half = room->half,
                     .wide = room->packed,
                     .low = room->low,
                     .depth = depth,
                     .columns = columns,
                     .scale = scale,
                     .unit = 1};
}

void block_accumulate(const run *on, float *c, size_t c_stride, const float *a, size_t a_stride, const float *from,
                      size_t from_stride, size_t rows, size_t columns, size_t depth, const block_room *room) {
    operand b = second(room, depth, columns, 1);
    b.add = true;
    pack_straight_f32(b.wide, from, from_stride, columns, depth);
    operand_lower(&b);
    operand_multiply(on->kernels, c, c_stride, a, a_stride, rows, &b, room->rows);
}

void block_outer(const run *on, float *out, size_t stride, const float *a, size_t a_stride, size_t rows, const float *b,
                 size_t b_stride, size_t length, size_t size, float scale, const block_room *room) {
    operand turned = second(room, size, length, scale);
    on->kernels->pack_transposed_f32(turned.wide, b, b_stride, length, size);
    operand_lower(&turned);
    operand_multiply(on->kernels, out, stride, a, a_stride, rows, &turned, room->rows);
}

void block_dropout(const run *on, uint64_t key, float *x, size_t stride, size_t rows, size_t length, uint32_t place,
                   size_t longest) {
    float rate = on->tape->attention_rate;
    for (size_t i = 0; i < rows; i++)
        on->kernels->gradient->dropout(x + i * stride, length, key, place + (uint32_t)(i * longest),
                                       dropout_threshold(rate), 1.0f / (1.0f - rate));
}

void block_sum_heads(const run *on, float *out, const float *received, size_t heads, size_t rows) {
    memcpy(out, received, rows * sizeof *out);
    for (size_t head = 1; head < heads; head++) on->kernels->gradient->add(out, received + head * rows, rows);
}
