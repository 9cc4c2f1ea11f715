/* What queries and probabilities are multiplied by: one head's keys, or its values. In f32; or, for models whose other
 * products are not f32 either, in what the processor multiplies faster: bfloat16, or else 16-bit integers. */
#ifndef RUBATO_ATTENTION_OPERAND_H
#define RUBATO_ATTENTION_OPERAND_H

#include "kernels/table.h"

typedef enum operand_form { OPERAND_F32, OPERAND_BF16, OPERAND_INT16 } operand_form;

/* The form of a sequence's keys and values; low: a lower one, if it is faster. */
operand_form operand_form_of(const kernel_table *kernels, bool low, size_t length);

typedef struct operand {
    operand_form form;
    float *wide;         /* packed, [packed_size(columns, depth)] */
    uint32_t *low;       /* the same in the lower form, words for them */
    float *column_scale; /* [columns rounded up to PANEL], int16 */
    size_t depth, columns;
    float scale; /* of the product */
    float unit;  /* int16: of what it will be multiplied with */
} operand;

/* Makes the lower form of what was packed, with `scale` and `unit` in it. */
void operand_lower(const kernel_table *kernels, operand *self);

/* c [rows, columns] = scale x by; `room` is for the rows in the lower form, words_bf16(depth) each. */
void operand_multiply(const kernel_table *kernels, float *c, size_t c_stride, const float *x, size_t x_stride,
                      size_t rows, const operand *by, uint32_t *room);

/* The same of rows that are in that form. */
void operand_multiply_low(const kernel_table *kernels, float *c, size_t c_stride, const uint32_t *x, size_t rows,
                          const operand *by);

#endif
