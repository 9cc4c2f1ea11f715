/* Layer normalisation of one row: out_i = (x_i - mean) / sqrt(variance + epsilon) * gamma_i + beta_i. The variance is
 * that of the population, computed in a second pass over the deviations (Ba et al. 2016). out may be x. beta may be
 * NULL. The tolerance against double is 1e-5 * (|gamma_i| * |normalised| + 1). */
#ifndef RUBATO_KERNELS_LAYER_NORM_H
#define RUBATO_KERNELS_LAYER_NORM_H

#include <stddef.h>

typedef void layer_norm_f32_function(float *out, const float *x, const float *gamma, const float *beta, float epsilon,
                                     size_t count);

layer_norm_f32_function layer_norm_f32_scalar, layer_norm_f32_avx2, layer_norm_f32_avx512, layer_norm_f32_neon;

#endif
