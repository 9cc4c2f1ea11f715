/* The second operand of attention's products: the keys or the values of one head. It is in f32, or, for models whose
 * other products are in low precision, in the 16 bits that the processor multiplies faster. */
#ifndef RUBATO_ATTENTION_OPERAND_H
#define RUBATO_ATTENTION_OPERAND_H

#include "kernels/table.h"

/* The kernels for a sequence's keys and values, NULL: they are in f32. low: a low-precision form, if it is faster. */
const half_kernels *operand_half(const kernel_table *kernels, bool low, size_t length);

typedef struct operand {
    const half_kernels *half; /* NULL: f32 */
    float *wide;              /* packed, [packed_size(columns, depth)] */
    uint32_t *low;            /* the same in 16 bits, or words for it; in f32 NULL */
    float *column_scale;      /* [columns rounded up to PANEL], of integers */
    size_t depth, columns;
    float scale; /* of the product */
    float unit;  /* of the first operand's integers; else 1 */
    bool add;    /* products are added to c; not for integers */
} operand;

/* Makes the 16-bit form of the packed operand, including `scale` and `unit`. Nothing in f32. */
void operand_lower(operand *self);

/* c [rows, columns] = scale x by. `room`, aligned to 64 bytes, holds the rows in 16 bits: low_room(rows) of
 * low_stride(words_bf16(depth)). */
void operand_multiply(const kernel_table *kernels, float *c, size_t c_stride, const float *x, size_t x_stride,
                      size_t rows, const operand *by, uint32_t *room);

/* The same for rows of bfloat16, x_stride words apart. */
void operand_multiply_half(float *c, size_t c_stride, const uint32_t *x, size_t x_stride, size_t rows,
                           const operand *by, uint32_t *room);

/* The same for rows that are in place already, low_stride(words_bf16(depth)) apart; the end of a row's last line is
 * written. */
void operand_multiply_low(float *c, size_t c_stride, uint32_t *x, size_t rows, const operand *by);

#endif
