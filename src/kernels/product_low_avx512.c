/* The low-precision products, avx512. */
#define VARIANT(name) name##_avx512
#define INT8_ALONE
#include "kernels/product_low_loops.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "kernels/math_avx512.h"

/* Rounds to nearest even, computed on integers. A NaN keeps its upper half, with a bit set so that it stays a NaN. */
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
    /* writes whole words: the lane after an odd end is zero */
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

/* The bits of the absolute value; those of infinities and NaN are the largest. */
static inline __m512i size_16(__m512 x) {
    return _mm512_castps_si512(_mm512_abs_ps(x));
}

static inline __m512i whole_16(const float *x, const float *factors, size_t i, __mmask16 mask, __m512 factor) {
    return _mm512_cvtps_epi32(_mm512_mul_ps(taken_16(x, factors, i, mask), factor)); /* rounds to even */
}

float quantize_int8_avx512(uint32_t *out, const float *x, const float *factors, size_t depth) {
    const __mmask16 all = 0xffff;
    __m512i most[4] = {_mm512_setzero_si512()};
    for (int j = 1; j < 4; j++) most[j] = most[0];
    size_t i = 0;
    for (; i + 64 <= depth; i += 64)
        for (size_t j = 0; j < 4; j++)
            most[j] = _mm512_max_epu32(most[j], size_16(taken_16(x, factors, i + 16 * j, all)));
    for (; i < depth; i += 16)
        most[0] = _mm512_max_epu32(most[0], size_16(taken_16(x, factors, i, lanes_16(size_min(depth - i, 16)))));
    most[0] = _mm512_max_epu32(_mm512_max_epu32(most[0], most[1]), _mm512_max_epu32(most[2], most[3]));
    const uint32_t bits = _mm512_reduce_max_epu32(most[0]);
    const bool finite = bits < 0x7f800000;
    unsigned char *bytes = (unsigned char *)out;
    if (!finite) {
        memset(bytes, 128, round_up(depth, 4));
        return NAN;
    }
    float largest;
    memcpy(&largest, &bits, sizeof largest);
    const __m512 factor = _mm512_set1_ps(largest > 1e-35f ? 127 / largest : 0);
    const __m512i middle = _mm512_set1_epi8((char)128);
    /* packing works within quarters of a register; this puts the groups of four bytes back in order */
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for (i = 0; i + 64 <= depth; i += 64) {
        __m512i q[4];
        for (size_t j = 0; j < 4; j++) q[j] = whole_16(x, factors, i + 16 * j, all, factor);
        __m512i packed = _mm512_packs_epi16(_mm512_packs_epi32(q[0], q[1]), _mm512_packs_epi32(q[2], q[3]));
        _mm512_storeu_si512(bytes + i, _mm512_xor_si512(_mm512_permutexvar_epi32(order, packed), middle));
    }
    for (; i < depth; i += 16) {
        size_t left = size_min(depth - i, 16);
        __m128i q = _mm512_cvtepi32_epi8(whole_16(x, factors, i, lanes_16(left), factor));
        _mm_mask_storeu_epi8(bytes + i, lanes_16(round_up(left, 4)), _mm_xor_si128(q, _mm512_castsi512_si128(middle)));
    }
    return largest / 127;
}
