/* The matrix product: c = act(scale * a b + bias) + residual. With `add`, the sums start from c.
 *
 * a is [rows, depth], with row stride a_stride. b is packed in panels of PANEL columns:
 * [ceil(columns / PANEL)][depth][PANEL], the last panel padded with zeros. c is [rows, columns], with row stride
 * c_stride. bias is [columns] or NULL. residual is [rows, columns] or NULL, and does not overlap c.
 *
 * Every row of c is computed by the same sequence of operations, whatever other rows there are: one accumulator for
 * each element, summed over the depth in order. Therefore a batch may be packed, split and reduced without any effect
 * on the remaining rows.
 *
 * Weights, the products of attention and all instruction sets share one packed form. The tolerance against the scalar
 * variant is depth * 2^-23 * sum |a||b|, plus that of the activation. */
#ifndef RUBATO_KERNELS_PRODUCT_H
#define RUBATO_KERNELS_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/activation.h"

enum { PANEL = 32 };

typedef struct product_f32 {
    const float *a;
    const float *b;
    const float *bias;
    const float *residual;
    float *c;
    size_t a_stride, c_stride, residual_stride;
    size_t rows, columns, depth;
    size_t b_depth; /* the depth with which b was packed; the product uses the first part of it. 0: depth */
    float scale;    /* 0 means 1 */
    activation act; /* no rare one */
    bool add;       /* c += a b: sums start from c; scale must be 0 or 1 */
} product_f32;

/* The distance from a panel of b to the next, divided by PANEL. */
static inline size_t product_f32_pitch(const product_f32 *p) {
    return p->b_depth ? p->b_depth : p->depth;
}

typedef void product_f32_function(const product_f32 *product);

product_f32_function product_f32_scalar, product_f32_avx2, product_f32_avx512, product_f32_neon;

/* Packs columns of b for the product: out [ceil(columns / PANEL)][depth][PANEL], padded with zeros. in is
 * [columns, depth] with stride in_stride: the layout of a weight [out, in], and of the keys of one head. */
typedef void pack_transposed_function(float *out, const float *in, size_t in_stride, size_t columns, size_t depth);

pack_transposed_function pack_transposed_f32_scalar, pack_transposed_f32_avx2, pack_transposed_f32_avx512;

/* The same from in [depth, columns]: the layout of the values of one head. */
void pack_straight_f32(float *out, const float *in, size_t in_stride, size_t columns, size_t depth);

/* The number of elements of the packed form. */
static inline size_t packed_size(size_t columns, size_t depth) {
    return (columns + PANEL - 1) / PANEL * PANEL * depth;
}

#endif
