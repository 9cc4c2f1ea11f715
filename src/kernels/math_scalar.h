/* Functions that the scalar activations and their derivatives share. */
#ifndef RUBATO_KERNELS_MATH_SCALAR_H
#define RUBATO_KERNELS_MATH_SCALAR_H

#include <math.h>

#define LAPLACE_STEEPNESS 2.50662733f /* 1 / (0.282095 sqrt 2) */

static inline float sigmoid(float x) {
    return 1.0f / (1.0f + expf(-x));
}

static inline float softplus(float x) {
    return x > 20 ? x : log1pf(expf(x));
}

/* Where the laplace activation is erf of this. */
static inline float laplace_argument(float x) {
    return (x - 0.707107f) * LAPLACE_STEEPNESS;
}

#endif
