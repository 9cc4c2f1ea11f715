/* Attention's products in 16-bit integers, for processors with VNNI and no bfloat16: two of them multiply at twice the
 * speed of f32, and keep more bits than bfloat16 does.
 *
 * A word of 32 bits holds two neighbours along the depth. Rows of a are rounded to multiples of one unit, chosen so
 * that the sizes of a row sum to 2^15 at most; columns of b are scaled to 32767 each. Sums then fit 32 bits whatever
 * the values and up to a depth of 65535, and are exact. c = unit * column_scale * sum_k qa qb. Probabilities sum to 1:
 * their unit is 1 / 32767. */
#ifndef RUBATO_KERNELS_INT16_H
#define RUBATO_KERNELS_INT16_H

#include "kernels/product_low.h"

enum { INT16_MOST = 32767 };

/* The unit of rows: their largest sum of sizes over 32767. Not finite where one of them is not. */
typedef float unit_int16_function(const float *x, size_t stride, size_t rows, size_t depth);

/* Rows as multiples of a unit, to the nearest even; zeros for a unit that is 0 or not finite, and to the end of the
 * last word. out [rows][words_bf16(depth)]. */
typedef void round_int16_function(uint32_t *out, const float *x, size_t stride, size_t rows, size_t depth, float unit);

/* A packed f32 panel to a packed int16 one: in [depth][PANEL], out [words][PANEL]; of each column the scale max |w| /
 * 32767, not finite where one of its values is not. */
typedef void quantize_panel_int16_function(uint32_t *out, float *scale, const float *in, size_t depth);

/* The softmax of a row as multiples of 1 / 32767, each within 1 of it, out [words_bf16(count)]; x is written over. NaN
 * anywhere gives zeros, and NaN in x[0]. */
typedef void softmax_int16_function(uint32_t *out, float *x, size_t count);

typedef struct int16_kernels {
    product_low_function *product; /* without row_scale and column_offset: the unit is part of column_scale */
    unit_int16_function *unit;
    round_int16_function *round;
    quantize_panel_int16_function *quantize_panel;
    softmax_int16_function *softmax;
} int16_kernels;

extern const int16_kernels int16_avx512vnni;

#endif
