/* The matrix product in low precision: c = act(a b + bias) + residual, with c in f32.
 *
 *   bf16   a and b are bfloat16, sums are f32
 *   int8   a is 8-bit by row, b is 8-bit by column, sums are 32-bit integers and exact:
 *          c = row_scale * column_scale * sum_k qa qb, with qa in [-127, 127] stored as qa + 128, qb in [-127, 127].
 *          sum_k (qa + 128) qb = sum_k qa qb + 128 sum_k qb: column_offset is the last part.
 *
 * A word of 32 bits holds two (bf16) or four (int8) neighbours along the depth; where the depth ends within a word, the
 * rest of the word is zero in b. b is packed in panels of PANEL columns as in product.h:
 * [ceil(columns / PANEL)][words][PANEL]. Every row of c is computed by the same sequence of operations, whatever other
 * rows there are. Before the scales, int8 is equal to the bit on all instruction sets. bf16 agrees within words * 2^-22
 * * sum |a||b|, and flushes denormals where the instruction does. GELU is within 1e-4. */
#ifndef RUBATO_KERNELS_PRODUCT_LOW_H
#define RUBATO_KERNELS_PRODUCT_LOW_H

#include <stdint.h>

#include "kernels/product.h"

typedef struct product_low {
    const uint32_t *a; /* [rows][words] */
    const uint32_t *b;
    const float *row_scale;       /* [rows]; this and the next two are for int8 alone */
    const float *column_scale;    /* [columns] */
    const int32_t *column_offset; /* [columns] */
    const float *bias;            /* [columns] or NULL */
    const float *residual;        /* [rows, columns] or NULL; does not overlap c */
    float *c;
    uint32_t *half; /* NULL, or words for the result in bfloat16, which c does not get then:
                       [rows][words_bf16(columns)]. By tiles alone (low_kernels.halves) */
    size_t a_stride, c_stride, residual_stride, half_stride; /* of a and of half in words */
    size_t rows, columns, words;
    size_t b_words; /* the words with which b was packed; the product uses the first part of them. 0: words */
    activation act; /* no rare one */
    bool add;       /* c += a b: for bf16 alone */
} product_low;

/* The distance from a panel of b to the next, divided by PANEL. */
static inline size_t product_low_pitch(const product_low *p) {
    return p->b_words ? p->b_words : p->words;
}

typedef void product_low_function(const product_low *product);

product_low_function product_bf16_scalar, product_bf16_avx2, product_bf16_avx512, product_bf16_avx512bf16,
    product_bf16_amx, product_bf16_neon, product_bf16_i8mm;
product_low_function product_int8_scalar, product_int8_avx2, product_int8_avx2vnni, product_int8_avx512,
    product_int8_avx512vnni, product_int8_amx, product_int8_neon, product_int8_dotprod, product_int8_i8mm;

/* The number of words that hold a depth. */
static inline size_t words_bf16(size_t depth) {
    return (depth + 1) / 2;
}

static inline size_t words_int8(size_t depth) {
    return (depth + 3) / 4;
}

/* The place of a in memory, for products by tiles: rows begin at 64 bytes, an odd number of cache lines apart, so that
 * a column of lines does not fall into few sets of the cache; there is room for whole tiles of 16 rows; and a row is
 * zero from its words to the end of its last line (low_end_row). Other products need none of this. */
static inline size_t low_stride(size_t words) {
    return (words + 15) / 16 * 16 | 16;
}

static inline size_t low_room(size_t rows) {
    return (rows + 15) / 16 * 16;
}

static inline void low_end_row(uint32_t *row, size_t words) {
    for (size_t k = words; k < (words + 15) / 16 * 16; k++) row[k] = 0;
}

/* Rounds a row of a to the nearest even bfloat16; NaN stays. out [words], with zeros up to the end. */
typedef void narrow_bf16_function(uint32_t *out, const float *x, size_t depth);

narrow_bf16_function narrow_bf16_scalar, narrow_bf16_avx2, narrow_bf16_avx512, narrow_bf16_neon;

/* Quantises a row of a, after each element was multiplied by its factor (factors NULL: 1). The scale is max |x| / 127,
 * and q = round to even (x / scale) is stored as q + 128. A row of zeros has scale 0. A row with NaN or infinity has
 * scale NaN, so that its results are NaN. Returns the scale. */
typedef float quantize_int8_function(uint32_t *out, const float *x, const float *factors, size_t depth);

quantize_int8_function quantize_int8_scalar, quantize_int8_avx2, quantize_int8_avx512, quantize_int8_neon;

/* Makes a packed bf16 panel of a packed f32 one: in [depth][PANEL], out [words][PANEL]. */
typedef void narrow_panel_bf16_function(uint32_t *out, const float *in, size_t depth);

narrow_panel_bf16_function narrow_panel_bf16_scalar, narrow_panel_bf16_avx2, narrow_panel_bf16_avx512,
    narrow_panel_bf16_neon;

/* Makes a packed int8 panel of a packed f32 one: in [depth][PANEL], out [words][PANEL]. Its first `columns` columns get
 * a scale, max |w| / 127, with q = round to even (w / scale), and an offset. */
void quantize_panel_int8(uint32_t *out, float *scale, int32_t *offset, const float *in, size_t columns, size_t depth);

/* Packs b from [columns][depth] floats. */
void pack_bf16(uint32_t *out, const float *in, size_t in_stride, size_t columns, size_t depth);

#endif
