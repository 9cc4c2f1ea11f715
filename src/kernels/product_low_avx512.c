/* The low-precision products, avx512. */
#define VARIANT(name) name##_avx512
#include "kernels/product_low_loops.h"

#include <immintrin.h>
#include <math.h>

#include "kernels/math_avx512.h"

/* Rounding to nearest even as integers; a NaN keeps its upper half, with a bit set that must not be lost. */
static inline __m512i bf16_16(__m512 x) {
    __m512i bits = _mm512_castps_si512(x), one = _mm512_set1_epi32(1);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), one);
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
    return _mm512_srli_epi32(rounded, 16);
}

void narrow_bf16_avx512(uint32_t *out, const float *x, size_t depth) {
    size_t i = 0;
    for (; i + 16 <= depth; i += 16, out += 8)
        _mm256_storeu_si256((__m256i *)(void *)out, _mm512_cvtepi32_epi16(bf16_16(_mm512_loadu_ps(x + i))));
    if (i == depth) return;
    size_t left = depth - i;
    __m512i last = bf16_16(_mm512_maskz_loadu_ps(lanes_16(left), x + i));
    /* whole words: the lane after an odd end is zero */
    _mm256_mask_storeu_epi16((void *)out, lanes_16((left + 1) / 2 * 2), _mm512_cvtepi32_epi16(last));
}

void narrow_panel_bf16_avx512(uint32_t *out, const float *in, size_t depth) {
    for (size_t k = 0; k < depth; k += 2, in += 2 * PANEL)
        for (size_t j = 0; j < PANEL; j += 16, out += 16) {
            __m512i pair = bf16_16(_mm512_loadu_ps(in + j));
            if (k + 1 < depth)
                pair = _mm512_or_si512(pair, _mm512_slli_epi32(bf16_16(_mm512_loadu_ps(in + PANEL + j)), 16));
            _mm512_storeu_si512(out, pair);
        }
}

static inline __m512 taken_16(const float *x, const float *factors, size_t i, __mmask16 mask) {
    __m512 values = _mm512_maskz_loadu_ps(mask, x + i);
    return factors ? _mm512_mul_ps(values, _mm512_maskz_loadu_ps(mask, factors + i)) : values;
}

float quantize_int8_avx512(uint32_t *out, const float *x, const float *factors, size_t depth) {
    const __m512 most_finite = _mm512_set1_ps(3.402823466e38f);
    __m512 most = _mm512_setzero_ps();
    __mmask16 odd = 0;
    for (size_t i = 0; i < depth; i += 16) {
        __mmask16 mask = lanes_16(depth - i < 16 ? depth - i : 16);
        __m512 size = _mm512_abs_ps(taken_16(x, factors, i, mask));
        odd |= _mm512_cmp_ps_mask(size, most_finite, _CMP_NLE_UQ); /* infinite, or NaN */
        most = _mm512_max_ps(most, size);
    }
    bool finite = odd == 0;
    float largest = _mm512_reduce_max_ps(most), inverse = largest > 1e-35f && finite ? 127 / largest : 0;
    const __m512 factor = _mm512_set1_ps(inverse);
    const __m512i middle = _mm512_set1_epi32(128);
    unsigned char *bytes = (unsigned char *)out;
    for (size_t i = 0; i < depth; i += 16) {
        size_t left = depth - i < 16 ? depth - i : 16;
        __m512 scaled = _mm512_mul_ps(taken_16(x, factors, i, lanes_16(left)), factor);
        if (!finite) scaled = _mm512_setzero_ps();
        __m512i q = _mm512_add_epi32(_mm512_cvtps_epi32(scaled), middle); /* rounds to even */
        _mm_mask_storeu_epi8(bytes + i, lanes_16((left + 3) / 4 * 4), _mm512_cvtepi32_epi8(q));
    }
    return finite ? largest / 127 : NAN;
}
