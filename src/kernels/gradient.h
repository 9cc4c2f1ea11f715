/* The kernels that training needs besides the forward kernels. They are elementwise loops over one row, and accumulate
 * where the formula has +=. The tolerance against double is 2e-6 relative to the largest term. */
#ifndef RUBATO_KERNELS_GRADIENT_H
#define RUBATO_KERNELS_GRADIENT_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/activation.h"

/* y += x */
typedef void add_f32_function(float *y, const float *x, size_t count);

/* y += factor * x */
typedef void add_scaled_f32_function(float *y, const float *x, float factor, size_t count);

/* out [columns, rows] = transpose of in [rows, columns]. */
typedef void transpose_f32_function(float *out, size_t out_stride, const float *in, size_t in_stride, size_t rows,
                                    size_t columns);

/* x_i = 0 where hash(key, first + i) < threshold, else x_i * scale (Srivastava et al. 2014). The mask is a pure
 * function of key and position, so that the backward pass computes it again instead of keeping it, and the threads do
 * not matter. */
typedef void dropout_f32_function(float *x, size_t count, uint64_t key, uint32_t first, uint32_t threshold,
                                  float scale);

/* dx += dy * act'(x) */
typedef void activate_backward_f32_function(float *dx, const float *dy, const float *x, size_t count, activation act);

/* The derivative of out = (x - mean) * inverse * gamma + beta: dx += ...; writes mean and inverse, which is 1 /
 * deviation, for the parameters' derivative. */
typedef void layer_norm_backward_f32_function(float *dx, const float *dy, const float *x, const float *gamma,
                                              float epsilon, size_t count, float statistics[2]);

/* dgamma += dy * (x - mean) * inverse, dbeta += dy; dbeta may be NULL. */
typedef void norm_parameters_backward_f32_function(float *dgamma, float *dbeta, const float *dy, const float *x,
                                                   const float statistics[2], size_t count);

/* The derivative through a softmax whose result is p: d_i = p_i (d_i - sum_j p_j d_j) scale. */
typedef void softmax_backward_f32_function(float *d, const float *p, float scale, size_t count);

/* sum x_i^2 */
typedef double squares_f32_function(const float *x, size_t count);

/* One step of AdamW (Loshchilov and Hutter 2019), with bias correction, for a contiguous array of parameters. */
typedef struct adam_step {
    float rate, decay, beta1, beta2, epsilon;
    float correction1, correction2; /* 1 - beta1^t, sqrt(1 - beta2^t) */
    float gradient_scale;           /* includes clipping and averaging */
} adam_step;

/* value -= rate * (decay * value + m' / (sqrt(v') + epsilon)); the gradient is zeroed. */
typedef void adam_f32_function(float *value, float *gradient, float *m, float *v, size_t count, const adam_step *step);

typedef struct gradient_kernels {
    add_f32_function *add;
    add_scaled_f32_function *add_scaled;
    transpose_f32_function *transpose;
    dropout_f32_function *dropout;
    activate_backward_f32_function *activate_backward;
    layer_norm_backward_f32_function *layer_norm_backward;
    norm_parameters_backward_f32_function *norm_parameters_backward;
    softmax_backward_f32_function *softmax_backward;
    squares_f32_function *squares;
    adam_f32_function *adam;
} gradient_kernels;

extern const gradient_kernels gradient_f32_scalar, gradient_f32_avx2, gradient_f32_avx512;

#endif
