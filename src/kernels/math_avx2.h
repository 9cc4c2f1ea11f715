/* exp, erf and the activations for 8 floats, shared by the AVX2 kernels; the constants are those of math_avx512.h. */
#ifndef RUBATO_KERNELS_MATH_AVX2_H
#define RUBATO_KERNELS_MATH_AVX2_H

#include <immintrin.h>

#include "kernels/activation.h"

/* exp(x) = 2^n 2^f. The factor 2^n is applied in two halves, so that results below 2^-126 and up to infinity are
 * right. */
static inline __m256 exp_8(__m256 x) {
    x = _mm256_min_ps(_mm256_set1_ps(89.0f), _mm256_max_ps(_mm256_set1_ps(-104.0f), x)); /* NaN stays */
    __m256 n =
        _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 f = _mm256_fmsub_ps(x, _mm256_set1_ps(1.44269504f), n);
    f = _mm256_fmadd_ps(x, _mm256_set1_ps(1.92596299e-8f), f);
    __m256 p = _mm256_set1_ps(1.53533565e-4f);
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.33988749e-3f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(9.61843738e-3f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(5.55033247e-2f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(2.40226479e-1f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(6.93147203e-1f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.0f));
    __m256i whole = _mm256_cvtps_epi32(n);
    __m256i half = _mm256_srai_epi32(whole, 1), bias = _mm256_set1_epi32(127);
    __m256i low = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i high = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half), bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(low)), _mm256_castsi256_ps(high));
}

static inline __m256 erf_8(__m256 z) {
    z = _mm256_min_ps(_mm256_set1_ps(3.92f), _mm256_max_ps(_mm256_set1_ps(-3.92f), z));
    __m256 u = _mm256_mul_ps(z, z);
    __m256 p = _mm256_set1_ps(2.03473814e-6f);
    p = _mm256_fmadd_ps(p, u, _mm256_set1_ps(2.87477795e-4f));
    p = _mm256_fmadd_ps(p, u, _mm256_set1_ps(3.86827809e-3f));
    p = _mm256_fmadd_ps(p, u, _mm256_set1_ps(5.30603345e-2f));
    p = _mm256_fmadd_ps(p, u, _mm256_set1_ps(1.92762977e-1f));
    p = _mm256_fmadd_ps(p, u, _mm256_set1_ps(1.12837902f));
    __m256 q = _mm256_set1_ps(3.80705878e-5f);
    q = _mm256_fmadd_ps(q, u, _mm256_set1_ps(1.18810212e-3f));
    q = _mm256_fmadd_ps(q, u, _mm256_set1_ps(1.51722003e-2f));
    q = _mm256_fmadd_ps(q, u, _mm256_set1_ps(1.15084168e-1f));
    q = _mm256_fmadd_ps(q, u, _mm256_set1_ps(5.04163408e-1f));
    q = _mm256_fmadd_ps(q, u, _mm256_set1_ps(1.0f));
    return _mm256_div_ps(_mm256_mul_ps(z, p), q);
}

static inline __m256 sigmoid_8(__m256 x) {
    __m256 one = _mm256_set1_ps(1.0f);
    return _mm256_div_ps(one, _mm256_add_ps(one, exp_8(_mm256_sub_ps(_mm256_setzero_ps(), x))));
}

static inline __m256 activate_8(__m256 x, activation act) {
    switch (act) {
    case ACTIVATION_GELU: {
        __m256 half = _mm256_mul_ps(x, _mm256_set1_ps(0.5f));
        return _mm256_fmadd_ps(half, erf_8(_mm256_mul_ps(x, _mm256_set1_ps(0.707106781f))), half);
    }
    case ACTIVATION_GELU_TANH: { /* (1 + tanh y) / 2 = sigmoid(2 y) */
        __m256 x2 = _mm256_mul_ps(x, x);
        __m256 y = _mm256_mul_ps(x, _mm256_fmadd_ps(x2, _mm256_set1_ps(0.0713548163f), _mm256_set1_ps(1.59576912f)));
        return _mm256_mul_ps(x, sigmoid_8(y));
    }
    case ACTIVATION_QUICK_GELU: return _mm256_mul_ps(x, sigmoid_8(_mm256_mul_ps(x, _mm256_set1_ps(1.702f))));
    case ACTIVATION_RELU: return _mm256_max_ps(_mm256_setzero_ps(), x);
    case ACTIVATION_SILU: return _mm256_mul_ps(x, sigmoid_8(x));
    case ACTIVATION_TANH:
        return _mm256_fmsub_ps(_mm256_set1_ps(2.0f), sigmoid_8(_mm256_add_ps(x, x)), _mm256_set1_ps(1.0f));
    default: break;
    }
    return x;
}

/* Transposes 8 rows of 8, in place. */
static inline void transpose_8(__m256 rows[8]) {
    __m256 t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    /* rows[4 a + b] = lanes b and b + 4 of rows 4 a to 4 a + 3 */
    for (int i = 0; i < 8; i += 4) {
        __m256d a = _mm256_castps_pd(t[i]), b = _mm256_castps_pd(t[i + 1]);
        __m256d c = _mm256_castps_pd(t[i + 2]), d = _mm256_castps_pd(t[i + 3]);
        rows[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, c));
        rows[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, c));
        rows[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(b, d));
        rows[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(b, d));
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm256_permute2f128_ps(rows[i], rows[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(rows[i], rows[i + 4], 0x31);
    }
    for (int i = 0; i < 8; i++) rows[i] = t[i];
}

/* The lowest `count` lanes, count <= 8, as the mask that maskload and maskstore take. */
static inline __m256i lanes_8(size_t count) {
    __m256i lane = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lane);
}

static inline float sum_8(__m256 x) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static inline float max_8(__m256 x) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

#endif
