/* The products of attention in 16 bits, for models whose other products are in low precision: bfloat16 where the
 * processor multiplies it faster than f32, otherwise integers, of which products run at twice the speed of f32 and keep
 * more bits than bfloat16.
 *
 * A word of 32 bits holds two neighbours along the depth. c = column_scale * sum_k a b for integers; sum_k a b for
 * bfloat16, whose b has the scale in it.
 *
 * Integers: the rows of a are rounded to multiples of one unit. The unit is chosen so that the absolute values of a row
 * sum to 2^15 at most. The columns of b are scaled to 32767 each. Sums then fit 32 bits for all values and up to a
 * depth of 65535, and are exact. Probabilities sum to 1: their unit is 1 / 32767. */
#ifndef RUBATO_KERNELS_HALF_H
#define RUBATO_KERNELS_HALF_H

#include "kernels/product_low.h"

enum { INT16_MOST = 32767 };

/* The unit of rows: the largest sum of a row's absolute values, over 32767. It is not finite where a value is not
 * finite. */
typedef float half_unit_function(const float *x, size_t stride, size_t rows, size_t depth);

/* Rows of a. out [rows][words_bf16(depth)], out_stride words apart, with zeros up to the end of the last word. Integers
 * are multiples of the unit, rounded to the nearest even, and zeros for a unit that is 0 or not finite. */
typedef void half_rows_function(uint32_t *out, size_t out_stride, const float *x, size_t stride, size_t rows,
                                size_t depth, float unit);

/* Makes a panel of b from a packed f32 one, multiplied by the factor: in [depth][PANEL], out [words][PANEL]. The scale
 * of a column of integers is factor * max |w| / 32767; it is not finite where a value of the column is not finite. */
typedef void half_panel_function(uint32_t *out, float *scale, const float *in, size_t depth, float factor);

/* Makes a panel of b from rows of bfloat16, which are its depth: in [depth][columns], columns <= PANEL; out
 * [words][PANEL], with zeros beyond the columns. */
typedef void half_pairs_function(uint32_t *out, const uint32_t *in, size_t in_stride, size_t columns, size_t depth);

/* The softmax of the scaled row x as a row of a, out [words_bf16(count)], and as exponentials in x: the sum is
 * returned, and x / sum are the probabilities. Integers are probabilities, each within 1 of the exact value. bfloat16
 * are exponentials, of which a product is to be divided by the sum. The sum is NaN where a value is NaN or no value is
 * finite. */
typedef float half_softmax_function(uint32_t *out, float *x, size_t count, float scale);

typedef struct half_kernels {
    bool integers;
    size_t least; /* keys: shorter sequences are faster in f32 */
    product_low_function *product;
    half_unit_function *unit; /* NULL: rows have none */
    half_rows_function *rows;
    half_panel_function *panel;
    half_pairs_function *pairs; /* NULL: integers */
    half_softmax_function *softmax;
} half_kernels;

extern const half_kernels half_int16_avx2, half_int16_avx512vnni, half_bf16_avx512bf16, half_bf16_amx, half_bf16_i8mm;

#endif
