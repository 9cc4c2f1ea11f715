/* exp, erf and the activations for 4 floats, shared by the NEON kernels; the constants are those of math_avx512.h. */
#ifndef RUBATO_KERNELS_MATH_NEON_H
#define RUBATO_KERNELS_MATH_NEON_H

#include <arm_neon.h>
#include <stddef.h>

#include "kernels/activation.h"

/* a + b c */
static inline float32x4_t fma_4(float32x4_t b, float32x4_t c, float a) {
    return vfmaq_f32(vdupq_n_f32(a), b, c);
}

/* exp(x) = 2^n 2^f. The factor 2^n is applied in two halves, so that results below 2^-126 and up to infinity are
 * right. */
static inline float32x4_t exp_4(float32x4_t x) {
    x = vminq_f32(vdupq_n_f32(89.0f), vmaxq_f32(vdupq_n_f32(-104.0f), x)); /* NaN stays */
    float32x4_t n = vrndnq_f32(vmulq_n_f32(x, 1.44269504f));
    float32x4_t f = vfmaq_f32(vnegq_f32(n), x, vdupq_n_f32(1.44269504f));
    f = vfmaq_f32(f, x, vdupq_n_f32(1.92596299e-8f));
    float32x4_t p = fma_4(vdupq_n_f32(1.53533565e-4f), f, 1.33988749e-3f);
    p = fma_4(p, f, 9.61843738e-3f);
    p = fma_4(p, f, 5.55033247e-2f);
    p = fma_4(p, f, 2.40226479e-1f);
    p = fma_4(p, f, 6.93147203e-1f);
    p = fma_4(p, f, 1.0f);
    int32x4_t whole = vcvtnq_s32_f32(n), half = vshrq_n_s32(whole, 1), bias = vdupq_n_s32(127);
    int32x4_t low = vshlq_n_s32(vaddq_s32(half, bias), 23);
    int32x4_t high = vshlq_n_s32(vaddq_s32(vsubq_s32(whole, half), bias), 23);
    return vmulq_f32(vmulq_f32(p, vreinterpretq_f32_s32(low)), vreinterpretq_f32_s32(high));
}

static inline float32x4_t erf_4(float32x4_t z) {
    z = vminq_f32(vdupq_n_f32(3.92f), vmaxq_f32(vdupq_n_f32(-3.92f), z));
    float32x4_t u = vmulq_f32(z, z);
    float32x4_t p = fma_4(vdupq_n_f32(2.03473814e-6f), u, 2.87477795e-4f);
    p = fma_4(p, u, 3.86827809e-3f);
    p = fma_4(p, u, 5.30603345e-2f);
    p = fma_4(p, u, 1.92762977e-1f);
    p = fma_4(p, u, 1.12837902f);
    float32x4_t q = fma_4(vdupq_n_f32(3.80705878e-5f), u, 1.18810212e-3f);
    q = fma_4(q, u, 1.51722003e-2f);
    q = fma_4(q, u, 1.15084168e-1f);
    q = fma_4(q, u, 5.04163408e-1f);
    q = fma_4(q, u, 1.0f);
    return vdivq_f32(vmulq_f32(z, p), q);
}

static inline float32x4_t sigmoid_4(float32x4_t x) {
    float32x4_t one = vdupq_n_f32(1.0f);
    return vdivq_f32(one, vaddq_f32(one, exp_4(vnegq_f32(x))));
}

static inline float32x4_t activate_4(float32x4_t x, activation act) {
    switch (act) {
    case ACTIVATION_GELU: {
        float32x4_t half = vmulq_n_f32(x, 0.5f);
        return vfmaq_f32(half, half, erf_4(vmulq_n_f32(x, 0.707106781f)));
    }
    case ACTIVATION_GELU_TANH: { /* (1 + tanh y) / 2 = sigmoid(2 y) */
        float32x4_t y = vmulq_f32(x, fma_4(vmulq_f32(x, x), vdupq_n_f32(0.0713548163f), 1.59576912f));
        return vmulq_f32(x, sigmoid_4(y));
    }
    case ACTIVATION_QUICK_GELU: return vmulq_f32(x, sigmoid_4(vmulq_n_f32(x, 1.702f)));
    case ACTIVATION_RELU: return vmaxq_f32(vdupq_n_f32(0), x);
    case ACTIVATION_SILU: return vmulq_f32(x, sigmoid_4(x));
    case ACTIVATION_TANH: return fma_4(vdupq_n_f32(2.0f), sigmoid_4(vaddq_f32(x, x)), -1.0f);
    default: break;
    }
    return x;
}

/* The first `count` floats, count < 4, with `rest` in the other lanes; and a function that writes as many. */
static inline float32x4_t load_part_4(const float *x, size_t count, float rest) {
    float parts[4] = {rest, rest, rest, rest};
    for (size_t i = 0; i < count; i++) parts[i] = x[i];
    return vld1q_f32(parts);
}

static inline void store_part_4(float *x, float32x4_t values, size_t count) {
    float parts[4];
    vst1q_f32(parts, values);
    for (size_t i = 0; i < count; i++) x[i] = parts[i];
}

/* The first four floats, or the `count` that there are, with zeros after them; and a function that writes them. */
static inline float32x4_t load_up_to_4(const float *x, size_t count) {
    return count >= 4 ? vld1q_f32(x) : load_part_4(x, count, 0);
}

static inline void store_up_to_4(float *x, float32x4_t values, size_t count) {
    if (count >= 4)
        vst1q_f32(x, values);
    else
        store_part_4(x, values, count);
}

#endif
