/* Gradient kernels, AVX2. */
#include "kernels/gradient.h"
#include "kernels/math_avx2.h"

static inline __m256 gated_slope(__m256 x, __m256 k, __m256 dk) {
    __m256 s = sigmoid_8(k), one = _mm256_set1_ps(1.0f);
    return _mm256_fmadd_ps(_mm256_mul_ps(_mm256_mul_ps(x, s), _mm256_sub_ps(one, s)), dk, s);
}

static inline __m256 slope_8(__m256 x, activation act) {
    const __m256 one = _mm256_set1_ps(1.0f), half = _mm256_set1_ps(0.5f);
    __m256 x2 = _mm256_mul_ps(x, x);
    switch (act) {
    case ACTIVATION_GELU: {
        __m256 phi = _mm256_mul_ps(_mm256_set1_ps(0.398942280f), exp_8(_mm256_mul_ps(x2, _mm256_set1_ps(-0.5f))));
        __m256 cdf = _mm256_fmadd_ps(half, erf_8(_mm256_mul_ps(x, _mm256_set1_ps(0.707106781f))), half);
        return _mm256_fmadd_ps(x, phi, cdf);
    }
    case ACTIVATION_GELU_TANH: {
        const __m256 c = _mm256_set1_ps(1.59576912f);
        __m256 k = _mm256_mul_ps(x, _mm256_fmadd_ps(x2, _mm256_set1_ps(0.0713548163f), c));
        return gated_slope(x, k, _mm256_fmadd_ps(x2, _mm256_set1_ps(0.214064449f), c));
    }
    case ACTIVATION_QUICK_GELU: {
        const __m256 c = _mm256_set1_ps(1.702f);
        return gated_slope(x, _mm256_mul_ps(x, c), c);
    }
    case ACTIVATION_RELU: return _mm256_and_ps(one, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ));
    case ACTIVATION_SILU: return gated_slope(x, x, one);
    case ACTIVATION_TANH: {
        __m256 t = activate_8(x, ACTIVATION_TANH);
        return _mm256_fnmadd_ps(t, t, one);
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
    for (size_t i = 0; i < count; i += 8) {
        __m256i mask = lanes_8(count - i < 8 ? count - i : 8);
        __m256 sum = _mm256_fmadd_ps(_mm256_maskload_ps(dy + i, mask), slope_8(_mm256_maskload_ps(x + i, mask), act),
                                     _mm256_maskload_ps(dx + i, mask));
        _mm256_maskstore_ps(dx + i, mask, sum);
    }
}

/* Blocks of 8 by 8, transposed in registers. */
static void own_transpose(float *out, size_t out_stride, const float *in, size_t in_stride, size_t rows,
                          size_t columns) {
    for (size_t i = 0; i < rows; i += 8) {
        const size_t high = rows - i < 8 ? rows - i : 8;
        for (size_t j = 0; j < columns; j += 8) {
            const size_t wide = columns - j < 8 ? columns - j : 8;
            __m256 square[8];
            for (size_t r = 0; r < 8; r++)
                square[r] =
                    r < high ? _mm256_maskload_ps(in + (i + r) * in_stride + j, lanes_8(wide)) : _mm256_setzero_ps();
            transpose_8(square);
            for (size_t c = 0; c < wide; c++) {
                float *to = out + (j + c) * out_stride + i;
                if (high == 8)
                    _mm256_storeu_ps(to, square[c]);
                else
                    _mm256_maskstore_ps(to, lanes_8(high), square[c]);
            }
        }
    }
}

#define GRADIENT_TABLE gradient_f32_avx2
#include "kernels/gradient_loops.h"
