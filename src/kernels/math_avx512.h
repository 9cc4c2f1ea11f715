/* exp, erf and the activations for 16 floats, shared by the AVX-512 kernels. Constants: least-squares fits with
 * equalised error over the stated range, computed for this file. */
#ifndef RUBATO_KERNELS_MATH_AVX512_H
#define RUBATO_KERNELS_MATH_AVX512_H

#include <immintrin.h>

#include "kernels/activation.h"

/* exp(x) = 2^n 2^f with |f| <= 1/2; relative error 1e-7. Underflows to 0, overflows to infinity, NaN stays. */
static inline __m512 exp_16(__m512 x) {
    __m512 t = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f));
    __m512 n = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    /* f = x log2(e) - n, with the product's lost bits brought back */
    __m512 f = _mm512_fmadd_ps(x, _mm512_set1_ps(1.44269504f), _mm512_sub_ps(_mm512_setzero_ps(), n));
    f = _mm512_fmadd_ps(x, _mm512_set1_ps(1.92596299e-8f), f);
    /* infinite x: n infinite, f NaN; a zero f leaves 2^n */
    f = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(_mm512_abs_ps(n), _mm512_set1_ps(1e30f), _CMP_NGT_UQ), f);
    __m512 p = _mm512_set1_ps(1.53533565e-4f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.33988749e-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.61843738e-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.55033247e-2f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.40226479e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.93147203e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* erf(z) = z P(z^2) / Q(z^2) on |z| <= 3.92, beyond which it is 1 to float; absolute error 4e-7. */
static inline __m512 erf_16(__m512 z) {
    const __m512 limit = _mm512_set1_ps(3.92f);
    z = _mm512_min_ps(limit, _mm512_max_ps(_mm512_sub_ps(_mm512_setzero_ps(), limit), z));
    __m512 u = _mm512_mul_ps(z, z);
    __m512 p = _mm512_set1_ps(2.03473814e-6f);
    p = _mm512_fmadd_ps(p, u, _mm512_set1_ps(2.87477795e-4f));
    p = _mm512_fmadd_ps(p, u, _mm512_set1_ps(3.86827809e-3f));
    p = _mm512_fmadd_ps(p, u, _mm512_set1_ps(5.30603345e-2f));
    p = _mm512_fmadd_ps(p, u, _mm512_set1_ps(1.92762977e-1f));
    p = _mm512_fmadd_ps(p, u, _mm512_set1_ps(1.12837902f));
    __m512 q = _mm512_set1_ps(3.80705878e-5f);
    q = _mm512_fmadd_ps(q, u, _mm512_set1_ps(1.18810212e-3f));
    q = _mm512_fmadd_ps(q, u, _mm512_set1_ps(1.51722003e-2f));
    q = _mm512_fmadd_ps(q, u, _mm512_set1_ps(1.15084168e-1f));
    q = _mm512_fmadd_ps(q, u, _mm512_set1_ps(5.04163408e-1f));
    q = _mm512_fmadd_ps(q, u, _mm512_set1_ps(1.0f));
    return _mm512_div_ps(_mm512_mul_ps(z, p), q);
}

/* 1 / (1 + exp(-x)) */
static inline __m512 sigmoid_16(__m512 x) {
    __m512 one = _mm512_set1_ps(1.0f);
    return _mm512_div_ps(one, _mm512_add_ps(one, exp_16(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

static inline __m512 activate_16(__m512 x, activation act) {
    switch (act) {
    case ACTIVATION_GELU: {
        __m512 half = _mm512_mul_ps(x, _mm512_set1_ps(0.5f));
        return _mm512_fmadd_ps(half, erf_16(_mm512_mul_ps(x, _mm512_set1_ps(0.707106781f))), half);
    }
    case ACTIVATION_GELU_TANH: { /* (1 + tanh y) / 2 = sigmoid(2 y) */
        __m512 x2 = _mm512_mul_ps(x, x);
        __m512 y = _mm512_mul_ps(x, _mm512_fmadd_ps(x2, _mm512_set1_ps(0.0713548163f), _mm512_set1_ps(1.59576912f)));
        return _mm512_mul_ps(x, sigmoid_16(y));
    }
    case ACTIVATION_QUICK_GELU: return _mm512_mul_ps(x, sigmoid_16(_mm512_mul_ps(x, _mm512_set1_ps(1.702f))));
    case ACTIVATION_RELU: return _mm512_max_ps(_mm512_setzero_ps(), x); /* the second operand is returned for NaN */
    case ACTIVATION_SILU: return _mm512_mul_ps(x, sigmoid_16(x));
    case ACTIVATION_TANH:
        return _mm512_fmsub_ps(_mm512_set1_ps(2.0f), sigmoid_16(_mm512_add_ps(x, x)), _mm512_set1_ps(1.0f));
    case ACTIVATION_NONE:
    case ACTIVATION_COUNT: break;
    }
    return x;
}

/* 16 rows of 16 become 16 columns, in place. */
static inline void transpose_16(__m512 rows[16]) {
    __m512 t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    /* rows[4 a + b] = lanes b, b + 4, b + 8 and b + 12 of rows 4 a to 4 a + 3 */
    for (int i = 0; i < 16; i += 4) {
        __m512d a = _mm512_castps_pd(t[i]), b = _mm512_castps_pd(t[i + 1]);
        __m512d c = _mm512_castps_pd(t[i + 2]), d = _mm512_castps_pd(t[i + 3]);
        rows[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        rows[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        rows[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        rows[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    for (int b = 0; b < 4; b++) {
        __m512 low02 = _mm512_shuffle_f32x4(rows[b], rows[4 + b], 0x88);
        __m512 low13 = _mm512_shuffle_f32x4(rows[b], rows[4 + b], 0xdd);
        __m512 high02 = _mm512_shuffle_f32x4(rows[8 + b], rows[12 + b], 0x88);
        __m512 high13 = _mm512_shuffle_f32x4(rows[8 + b], rows[12 + b], 0xdd);
        t[b] = _mm512_shuffle_f32x4(low02, high02, 0x88);
        t[8 + b] = _mm512_shuffle_f32x4(low02, high02, 0xdd);
        t[4 + b] = _mm512_shuffle_f32x4(low13, high13, 0x88);
        t[12 + b] = _mm512_shuffle_f32x4(low13, high13, 0xdd);
    }
    for (int i = 0; i < 16; i++) rows[i] = t[i];
}

/* The lowest `count` lanes, count <= 16. */
static inline __mmask16 lanes_16(size_t count) {
    return (__mmask16)((1u << count) - 1);
}

#endif
