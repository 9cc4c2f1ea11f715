/* Activations, elementwise in place.
 *   gelu        x/2 (1 + erf(x / sqrt 2))                                   Hendrycks and Gimpel 2016
 *   gelu_tanh   x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))               the same paper's approximation
 *   quick_gelu  x sigmoid(1.702 x)
 *   relu, silu (x sigmoid(x)), tanh
 * The rarer ones:
 *   sigmoid, leaky_relu (slope 0.01), relu6 (relu, at most 6), relu_squared, hard_swish (x relu6(x + 3) / 6)
 *   mish        x tanh(softplus(x))                                         Misra 2019
 *   root_softplus  sqrt(softplus(x))
 *   laplace     (1 + erf((x - 0.707107) / (0.282095 sqrt 2))) / 2           Ma et al. 2022
 *   gelu_clipped   gelu, from -10 to 10
 * Products have no rare activation: they get a pass of their own, by the scalar form on every instruction set.
 * NaN stays NaN. The tolerance against double is 1e-6 * max(1, |x|, |result|). */
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
    ACTIVATION_RARE, /* the first that products do not have */
    ACTIVATION_SIGMOID = ACTIVATION_RARE,
    ACTIVATION_LEAKY_RELU,
    ACTIVATION_RELU6,
    ACTIVATION_RELU_SQUARED,
    ACTIVATION_HARD_SWISH,
    ACTIVATION_MISH,
    ACTIVATION_ROOT_SOFTPLUS,
    ACTIVATION_LAPLACE,
    ACTIVATION_GELU_CLIPPED,
    ACTIVATION_COUNT
} activation;

typedef void activate_f32_function(float *x, size_t count, activation act);

activate_f32_function activate_f32_scalar, activate_f32_avx2, activate_f32_avx512, activate_f32_neon;

#endif
