/* The second operands of attention's products. */
#include "attention/operand.h"

#include <string.h>

const half_kernels *operand_half(const kernel_table *kernels, bool low, size_t length) {
    const half_kernels *half = kernels->low.half;
    return low && half && length >= half->least ? half : NULL;
}

void operand_lower(operand *self) {
    if (!self->half) return;
    const size_t words = words_bf16(self->depth);
    for (size_t first = 0; first < self->columns; first += PANEL)
        self->half->panel(self->low + first * words, self->column_scale ? self->column_scale + first : NULL,
                          self->wide + first * self->depth, self->depth, self->unit * self->scale);
}

void operand_multiply(const kernel_table *kernels, float *c, size_t c_stride, const float *x, size_t x_stride,
                      size_t rows, const operand *by, uint32_t *room) {
    if (by->half) {
        by->half->rows(room, low_stride(words_bf16(by->depth)), x, x_stride, rows, by->depth, by->unit);
        operand_multiply_low(c, c_stride, room, rows, by);
        return;
    }
    product_f32 product = {.a = x,
                           .a_stride = x_stride,
                           .b = by->wide,
                           .c = c,
                           .c_stride = c_stride,
                           .rows = rows,
                           .columns = by->columns,
                           .depth = by->depth,
                           .scale = by->scale,
                           .add = by->add};
    kernels->product_f32(&product);
}

void operand_multiply_half(float *c, size_t c_stride, const uint32_t *x, size_t x_stride, size_t rows,
                           const operand *by, uint32_t *room) {
    const size_t words = words_bf16(by->depth), stride = low_stride(words);
    for (size_t row = 0; row < rows; row++) memcpy(room + row * stride, x + row * x_stride, words * sizeof *room);
    operand_multiply_low(c, c_stride, room, rows, by);
}

void operand_multiply_low(float *c, size_t c_stride, uint32_t *x, size_t rows, const operand *by) {
    const size_t words = words_bf16(by->depth), stride = low_stride(words);
    for (size_t row = 0; row < rows; row++) low_end_row(x + row * stride, words);
    product_low product = {.a = x,
                           .a_stride = stride,
                           .b = by->low,
                           .column_scale = by->column_scale,
                           .c = c,
                           .c_stride = c_stride,
                           .rows = rows,
                           .columns = by->columns,
                           .words = words,
                           .add = by->add};
    by->half->product(&product);
}
