/* The matrix product: c = act(scale * a b + bias) + residual; with `add`, c joins the sum before anything else.
 *
 * a  [rows, depth], row stride a_stride; b packed in panels of PANEL columns: [ceil(columns / PANEL)][depth][PANEL],
 * the last panel padded with zeros; c [rows, columns], row stride c_stride; bias [columns] or NULL;
 * residual [rows, columns] or NULL, apart from c.
 *
 * Every row of c is computed by the same sequence of operations, whatever rows stand beside it: one accumulator an
 * element, summed over depth in order. That is what lets a batch be packed, split and thinned out with no effect on
 * the rows that stay.
 *
 * One packed form serves all instruction sets, the attention products and the weights. Tolerance against the
 * scalar variant: depth * 2^-23 * sum |a||b|, and of the activation. */
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
    size_t b_depth; /* the depth that b was packed with, of which the first part is used; 0: depth */
    float scale;    /* 0 stands for 1 */
    activation act;
    bool add; /* c += a b: sums start from c; scale is 0 */
} product_f32;

/* From a panel of b to the next, over PANEL. */
static inline size_t product_f32_pitch(const product_f32 *p) {
    return p->b_depth ? p->b_depth : p->depth;
}

typedef void product_f32_function(const product_f32 *product);

product_f32_function product_f32_scalar, product_f32_avx2, product_f32_avx512, product_f32_neon;

/* Packs columns of b for product: out [ceil(columns / PANEL)][depth][PANEL], zero padded.
 * in [columns, depth] with stride in_stride: the layout of a weight [out, in], and of the keys of one head. */
typedef void pack_transposed_function(float *out, const float *in, size_t in_stride, size_t columns, size_t depth);

pack_transposed_function pack_transposed_f32_scalar, pack_transposed_f32_avx512;

/* The same from in [depth, columns]: the values of one head. */
void pack_straight_f32(float *out, const float *in, size_t in_stride, size_t columns, size_t depth);

/* Elements of the packed form. */
static inline size_t packed_size(size_t columns, size_t depth) {
    return (columns + PANEL - 1) / PANEL * PANEL * depth;
}

#endif
