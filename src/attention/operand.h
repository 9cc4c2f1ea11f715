/* The second operand of attention's products: the keys or the values of one head. It is in f32, or, for models whose
 * other products are in low precision, in the format that the processor multiplies faster: bfloat16 or 16-bit
 * integers. */
#ifndef RUBATO_ATTENTION_OPERAND_H
#define RUBATO_ATTENTION_OPERAND_H

#include "kernels/table.h"

typedef enum operand_form { OPERAND_F32, OPERAND_BF16, OPERAND_INT16 } operand_form;

/* The form of a sequence's keys and values; low: a low-precision form, if it is faster. */
operand_form operand_form_of(const kernel_table *kernels, bool low, size_t length);

typedef struct operand {
    operand_form form;
    float *wide;         /* packed, [packed_size(columns, depth)] */
    uint32_t *low;       /* the same in the low-precision format, or words for it */
    float *column_scale; /* [columns rounded up to PANEL], int16 */
    size_t depth, columns;
    float scale; /* of the product */
    float unit;  /* int16: the unit of the first operand */
} operand;

/* Makes the low-precision format of the packed operand, including `scale` and `unit`. */
void operand_lower(const kernel_table *kernels, operand *self);

/* c [rows, columns] = scale x by. `room`, aligned to 64 bytes, holds the rows in the low-precision format:
 * low_room(rows) of low_stride(words_bf16(depth)). */
void operand_multiply(const kernel_table *kernels, float *c, size_t c_stride, const float *x, size_t x_stride,
                      size_t rows, const operand *by, uint32_t *room);

/* The same for rows that are in that format already; rows of 16-bit integers are words_bf16(depth) apart. */
void operand_multiply_low(const kernel_table *kernels, float *c, size_t c_stride, const uint32_t *x, size_t rows,
                          const operand *by);

#endif
