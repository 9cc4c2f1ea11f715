/* The second operands of attention's products. */
#include "attention/operand.h"

enum { LEAST_INT16 = 64 }; /* for shorter sequences making them takes longer than they save */

operand_form operand_form_of(const kernel_table *kernels, bool low, size_t length) {
    if (low && kernels->low.fast_bf16) return OPERAND_BF16;
    return low && kernels->low.int16 && length >= LEAST_INT16 ? OPERAND_INT16 : OPERAND_F32;
}

static void lower_bf16(const low_kernels *kernels, operand *self) {
    size_t words = words_bf16(self->depth);
    for (size_t i = 0; self->scale != 1 && i < packed_size(self->columns, self->depth); i++)
        self->wide[i] *= self->scale;
    for (size_t panel = 0; panel * PANEL < self->columns; panel++)
        kernels->round_panel_bf16(self->low + panel * words * PANEL, self->wide + panel * self->depth * PANEL,
                                  self->depth);
}

static void lower_int16(const int16_kernels *kernels, operand *self) {
    size_t words = words_bf16(self->depth);
    for (size_t first = 0; first < self->columns; first += PANEL) {
        float *scale = self->column_scale + first;
        kernels->quantize_panel(self->low + first * words, scale, self->wide + first * self->depth, self->depth);
        for (size_t j = 0; j < PANEL; j++) scale[j] *= self->unit * self->scale;
    }
}

void operand_lower(const kernel_table *kernels, operand *self) {
    if (self->form == OPERAND_BF16) lower_bf16(&kernels->low, self);
    if (self->form == OPERAND_INT16) lower_int16(kernels->low.int16, self);
}

void operand_multiply(const kernel_table *kernels, float *c, size_t c_stride, const float *x, size_t x_stride,
                      size_t rows, const operand *by, uint32_t *room) {
    size_t words = words_bf16(by->depth);
    switch (by->form) {
    case OPERAND_F32: {
        product_f32 product = {.a = x,
                               .a_stride = x_stride,
                               .b = by->wide,
                               .c = c,
                               .c_stride = c_stride,
                               .rows = rows,
                               .columns = by->columns,
                               .depth = by->depth,
                               .scale = by->scale};
        kernels->product_f32(&product);
        return;
    }
    case OPERAND_BF16:
        for (size_t i = 0; i < rows; i++) {
            uint32_t *row = room + i * low_stride(words);
            kernels->low.round_bf16(row, x + i * x_stride, by->depth);
            low_end_row(row, words);
        }
        break;
    case OPERAND_INT16: kernels->low.int16->round(room, x, x_stride, rows, by->depth, by->unit); break;
    }
    operand_multiply_low(kernels, c, c_stride, room, rows, by);
}

void operand_multiply_low(const kernel_table *kernels, float *c, size_t c_stride, const uint32_t *x, size_t rows,
                          const operand *by) {
    size_t words = words_bf16(by->depth);
    product_low product = {.a = x,
                           .a_stride = by->form == OPERAND_BF16 ? low_stride(words) : words,
                           .b = by->low,
                           .column_scale = by->column_scale,
                           .c = c,
                           .c_stride = c_stride,
                           .rows = rows,
                           .columns = by->columns,
                           .words = words};
    (by->form == OPERAND_BF16 ? kernels->low.product_bf16 : kernels->low.int16->product)(&product);
}
