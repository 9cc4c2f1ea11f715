/* Gradient kernels, AVX-512. */
#include "kernels/gradient.h"
#include "kernels/math_avx512.h"

static inline __m512 gated_slope(__m512 x, __m512 k, __m512 dk) {
    __m512 s = sigmoid_16(k), one = _mm512_set1_ps(1.0f);
    return _mm512_fmadd_ps(_mm512_mul_ps(_mm512_mul_ps(x, s), _mm512_sub_ps(one, s)), dk, s);
}

static inline __m512 slope_16(__m512 x, activation act) {
    const __m512 one = _mm512_set1_ps(1.0f);
    __m512 x2 = _mm512_mul_ps(x, x);
    switch (act) {
    case ACTIVATION_GELU: {
        __m512 phi = _mm512_mul_ps(_mm512_set1_ps(0.398942280f), exp_16(_mm512_mul_ps(x2, _mm512_set1_ps(-0.5f))));
        __m512 tail = normal_tail_16(tail_side_16(x));
        __m512 cdf = _mm512_mask_sub_ps(tail, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ), one, tail);
        return _mm512_fmadd_ps(x, phi, cdf);
    }
    case ACTIVATION_GELU_TANH: {
        const __m512 c = _mm512_set1_ps(1.59576912f);
        __m512 k = _mm512_mul_ps(x, _mm512_fmadd_ps(x2, _mm512_set1_ps(0.0713548163f), c));
        return gated_slope(x, k, _mm512_fmadd_ps(x2, _mm512_set1_ps(0.214064449f), c));
    }
    case ACTIVATION_QUICK_GELU: {
        const __m512 c = _mm512_set1_ps(1.702f);
        return gated_slope(x, _mm512_mul_ps(x, c), c);
    }
    case ACTIVATION_RELU: return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ), one);
    case ACTIVATION_SILU: return gated_slope(x, x, one);
    case ACTIVATION_TANH: {
        __m512 t = activate_16(x, ACTIVATION_TANH);
        return _mm512_fnmadd_ps(t, t, one);
    }
    default: break;
    }
    return one;
}

static void own_activate_backward(float *dx, const float *dy, const float *x, size_t count, activation act) {
    if (act >= ACTIVATION_RARE) {
        gradient_f32_scalar.activate_backward(dx, dy, x, count, act);
        return;
    }
    for (size_t i = 0; i < count; i += 16) {
        __mmask16 mask = lanes_16(count - i < 16 ? count - i : 16);
        __m512 slope = slope_16(_mm512_maskz_loadu_ps(mask, x + i), act);
        __m512 sum = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, dy + i), slope, _mm512_maskz_loadu_ps(mask, dx + i));
        _mm512_mask_storeu_ps(dx + i, mask, sum);
    }
}

/* Blocks of 16 by 16, transposed in registers. */
static void own_transpose(float *out, size_t out_stride, const float *in, size_t in_stride, size_t rows,
                          size_t columns) {
    for (size_t i = 0; i < rows; i += 16) {
        size_t high = rows - i < 16 ? rows - i : 16;
        for (size_t j = 0; j < columns; j += 16) {
            size_t wide = columns - j < 16 ? columns - j : 16;
            __m512 square[16];
            for (size_t r = 0; r < 16; r++)
                square[r] = r < high ? _mm512_maskz_loadu_ps(lanes_16(wide), in + (i + r) * in_stride + j)
                                     : _mm512_setzero_ps();
            transpose_16(square);
            for (size_t c = 0; c < wide; c++)
                _mm512_mask_storeu_ps(out + (j + c) * out_stride + i, lanes_16(high), square[c]);
        }
    }
}

#define GRADIENT_TABLE gradient_f32_avx512
#include "kernels/gradient_loops.h"
