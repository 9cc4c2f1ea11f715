/* Activations, elementwise in place.
 *   gelu        x/2 (1 + erf(x / sqrt 2))                                   Hendrycks and Gimpel 2016
 *   gelu_tanh   x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))               the same paper's approximation
 *   quick_gelu  x sigmoid(1.702 x)
 *   relu, silu (x sigmoid(x)), tanh
 * NaN stays NaN. The tolerance against double is 1e-6 * max(1, |x|). */
#ifndef RUBATO_KERNELS_ACTIVATION_H
#define RUBATO_KERNELS_ACTIVATION_H

#include <stddef.h>

typedef enum activation {
    ACTIVATION_NONE,
    ACTIVATION_GELU,
    ACTIVATION_GELU_TANH,
    ACTIVATION_QUICK_GELU,
    ACTIVATION_RELU,
    ACTIVATION_SILU,
    ACTIVATION_TANH,
    ACTIVATION_COUNT
} activation;

typedef void activate_f32_function(float *x, size_t count, activation act);

activate_f32_function activate_f32_scalar, activate_f32_avx2, activate_f32_avx512, activate_f32_neon;

#endif
