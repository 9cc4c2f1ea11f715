/* exp, the normal distribution and the activations for 16 floats, shared by the AVX-512 kernels. The constants are
 * least-squares fits with equalised error over the stated range. */
#ifndef RUBATO_KERNELS_MATH_AVX512_H
#define RUBATO_KERNELS_MATH_AVX512_H

#include <immintrin.h>

#include "kernels/activation.h"

/* exp(x) = 2^n 2^f with |f| <= 1/2; relative error 2e-7. Underflows to 0, overflows to infinity, NaN stays. */
static inline __m512 exp_16(__m512 x) {
    /* beyond these limits the result is 0 or infinite; for NaN, min and max return the second operand */
    x = _mm512_min_ps(_mm512_set1_ps(89), _mm512_max_ps(_mm512_set1_ps(-104), x));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)),
                                    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    /* f = x log2(e) - n, with the bits that the product lost added back */
    __m512 f = _mm512_fmsub_ps(x, _mm512_set1_ps(1.44269504f), n);
    f = _mm512_fmadd_ps(x, _mm512_set1_ps(1.92596299e-8f), f);
    __m512 p = _mm512_set1_ps(0.00132647087f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.00967151113f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.0555073395f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.240222424f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.693147004f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* Q(s) = (1 - erf(s / sqrt 2)) / 2 for s >= 0, the probability that a normal variable exceeds s. It is computed by
 * polynomials in the distance from the nearest multiple of 3/8, interpolated at Chebyshev's nodes; the absolute error
 * is 5e-8. Beyond 5.8 the result stays at 3e-9. NaN stays. Looking coefficients up takes half of the time of a quotient
 * of polynomials. */
static const float normal_tail[5][16] __attribute__((aligned(64))) = {
    {-2.13455657e-14f, -0.000326259527f, -0.000450978958f, -0.000339503022f, -0.000120625351f, 5.35872277e-05f,
     0.000120504075f, 0.000106815714f, 6.58261051e-05f, 3.14610952e-05f, 1.21675621e-05f, 3.89077377e-06f,
     1.04175172e-06f, 2.35469969e-07f, 4.51851179e-08f, 7.3911659e-09f},
    {0.00348331197f, 0.00279308623f, 0.00115825108f, -0.000482471951f, -0.00140936777f, -0.00151324784f,
     -0.00113219058f, -0.000660996709f, -0.000314175064f, -0.000124144761f, -4.12754125e-05f, -1.16350029e-05f,
     -2.79506821e-06f, -5.74331807e-07f, -1.0121768e-07f, -1.53310236e-08f},
    {4.66255469e-15f, 0.00980463065f, 0.0158801302f, 0.0167597029f, 0.0136600938f, 0.00906857848f, 0.00502136583f,
     0.00234852242f, 0.000934837095f, 0.000318243314f, 9.29623711e-05f, 2.33564988e-05f, 5.05614071e-06f,
     9.44313967e-07f, 1.52316034e-07f, 2.12353513e-08f},
    {-0.149601921f, -0.139444694f, -0.112926558f, -0.079454504f, -0.0485699438f, -0.0257953294f, -0.0119024375f,
     -0.00477142911f, -0.0016617832f, -0.000502815295f, -0.000132173664f, -3.01840191e-05f, -5.98821634e-06f,
     -1.03204309e-06f, -1.54514368e-07f, -2.0095575e-08f},
    {0.5f, 0.353830248f, 0.22662735f, 0.130294517f, 0.066807203f, 0.0303963609f, 0.0122244731f, 0.00433244836f,
     0.00134989806f, 0.000369078451f, 8.84172841e-05f, 1.85367371e-05f, 3.39767303e-06f, 5.4404228e-07f,
     7.60496022e-08f, 9.27539912e-09f},
};

static inline __attribute__((always_inline)) __m512 normal_tail_of(__m512 s, const float (*table)[16],
                                                                   const int coefficients) {
    const __m512 steps = _mm512_set1_ps(2.66666667f), whole = _mm512_set1_ps(0x1.8p23f); /* whole's last bit is a one */
    __m512 near = _mm512_fmadd_ps(s, steps, whole);
    __m512i at = _mm512_castps_si512(near); /* the lowest bits are the number of the nearest multiple */
    __m512 t = _mm512_fmsub_ps(s, steps, _mm512_sub_ps(near, whole));
    __m512 q = _mm512_permutexvar_ps(at, _mm512_load_ps(table[0]));
    for (int i = 1; i < coefficients; i++)
        q = _mm512_fmadd_ps(q, t, _mm512_permutexvar_ps(at, _mm512_load_ps(table[i])));
    return q;
}

static inline __m512 normal_tail_16(__m512 s) {
    return normal_tail_of(s, normal_tail, 5);
}

/* The same by quadratic polynomials, with an absolute error of 1.1e-4: it costs two thirds, and values that are rounded
 * to 8 bits or to bfloat16 afterwards need no more. */
static const float normal_tail_low[3][16] __attribute__((aligned(64))) = {
    {0, 0.00974342846f, 0.0157955385f, 0.0166960319f, 0.013637484f, 0.00907864131f, 0.00504397114f, 0.00236855368f,
     0.000947178335f, 0.000324140169f, 9.52423493e-05f, 2.40853413e-05f, 5.25122527e-06f, 9.8839425e-07f,
     1.60771603e-07f, 2.26179242e-08f},
    {-0.148948511f, -0.13892079f, -0.112709388f, -0.0795451168f, -0.0488343702f, -0.0260791585f, -0.0121147376f,
     -0.00489533849f, -0.00172065912f, -0.000526071556f, -0.000139902833f, -3.23618368e-05f, -6.5111469e-06f,
     -1.13944066e-06f, -1.73431341e-07f, -2.29591838e-08f},
    {0.5f, 0.353830233f, 0.226627352f, 0.130294517f, 0.0668072013f, 0.0303963618f, 0.0122244727f, 0.00433244836f,
     0.00134989803f, 0.000369078454f, 8.84172852e-05f, 1.85367378e-05f, 3.39767312e-06f, 5.44042276e-07f,
     7.60496052e-08f, 9.27539873e-09f},
};

static inline __m512 normal_tail_low_16(__m512 s) {
    return normal_tail_of(s, normal_tail_low, 3);
}

/* |x|, limited to the range of normal_tail_16; NaN stays. */
static inline __m512 tail_side_16(__m512 x) {
    return _mm512_min_ps(_mm512_set1_ps(5.8f), _mm512_abs_ps(x));
}

/* 1 / (1 + exp(-x)) */
static inline __m512 sigmoid_16(__m512 x) {
    __m512 one = _mm512_set1_ps(1.0f);
    return _mm512_div_ps(one, _mm512_add_ps(one, exp_16(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

/* x (1 - Q(x)) above 0, -|x| Q(|x|) below */
static inline __m512 gelu_16(__m512 x, __m512 tail) {
    return _mm512_fnmadd_ps(tail_side_16(x), tail, _mm512_max_ps(_mm512_setzero_ps(), x));
}

static inline __m512 activate_16(__m512 x, activation act) {
    switch (act) {
    case ACTIVATION_GELU: return gelu_16(x, normal_tail_16(tail_side_16(x)));
    case ACTIVATION_GELU_TANH: { /* (1 + tanh y) / 2 = sigmoid(2 y) */
        __m512 x2 = _mm512_mul_ps(x, x);
        __m512 y = _mm512_mul_ps(x, _mm512_fmadd_ps(x2, _mm512_set1_ps(0.0713548163f), _mm512_set1_ps(1.59576912f)));
        return _mm512_mul_ps(x, sigmoid_16(y));
    }
    case ACTIVATION_QUICK_GELU: return _mm512_mul_ps(x, sigmoid_16(_mm512_mul_ps(x, _mm512_set1_ps(1.702f))));
    case ACTIVATION_RELU: return _mm512_max_ps(_mm512_setzero_ps(), x); /* for NaN, max returns the second operand */
    case ACTIVATION_SILU: return _mm512_mul_ps(x, sigmoid_16(x));
    case ACTIVATION_TANH:
        return _mm512_fmsub_ps(_mm512_set1_ps(2.0f), sigmoid_16(_mm512_add_ps(x, x)), _mm512_set1_ps(1.0f));
    default: break;
    }
    return x;
}

/* The same at the precision of products in 8 bits and in bfloat16. */
static inline __m512 activate_low_16(__m512 x, activation act) {
    return act == ACTIVATION_GELU ? gelu_16(x, normal_tail_low_16(tail_side_16(x))) : activate_16(x, act);
}

/* Transposes 16 rows of 16, in place. */
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
