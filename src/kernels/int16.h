/* The products of attention in 16-bit integers, for processors without faster bfloat16. Products of 16-bit
 * integers run at twice the speed of f32 and keep more bits than bfloat16.
 *
 * A word of 32 bits holds two neighbours along the depth. The rows of a are rounded to multiples of one unit. The unit
 * is chosen so that the absolute values of a row sum to 2^15 at most. The columns of b are scaled to 32767 each. Sums
 * then fit 32 bits for all values and up to a depth of 65535, and are exact. c = unit * column_scale * sum_k qa qb.
 * Probabilities sum to 1: their unit is 1 / 32767. */
#ifndef RUBATO_KERNELS_INT16_H
#define RUBATO_KERNELS_INT16_H

#include "kernels/product_low.h"

enum { INT16_MOST = 32767 };

/* The unit of rows: the largest sum of a row's absolute values, over 32767. It is not finite where a value is not
 * finite. */
typedef float unit_int16_function(const float *x, size_t stride, size_t rows, size_t depth);

/* Rows as multiples of a unit, rounded to the nearest even. Zeros for a unit that is 0 or not finite, and up to the end
 * of the last word. out [rows][words_bf16(depth)]. */
typedef void round_int16_function(uint32_t *out, const float *x, size_t stride, size_t rows, size_t depth, float unit);

/* Makes a packed int16 panel of a packed f32 one: in [depth][PANEL], out [words][PANEL]. The scale of a column is max
 * |w| / 32767; it is not finite where a value of the column is not finite. */
typedef void quantize_panel_int16_function(uint32_t *out, float *scale, const float *in, size_t depth);

/* The softmax of a row as multiples of 1 / 32767, each within 1 of the exact value, out [words_bf16(count)]. x is
 * overwritten. NaN anywhere gives zeros, and NaN in x[0]. */
typedef void softmax_int16_function(uint32_t *out, float *x, size_t count);

typedef struct int16_kernels {
    product_low_function *product; /* row_scale and column_offset are not used: the unit is part of column_scale */
    unit_int16_function *unit;
    round_int16_function *round;
    quantize_panel_int16_function *quantize_panel;
    softmax_int16_function *softmax;
} int16_kernels;

extern const int16_kernels int16_avx2, int16_avx512vnni;

#endif
