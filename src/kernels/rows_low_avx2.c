/* Making rows and panels ready for the low-precision products, AVX2. */
#include "kernels/product_low.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "kernels/math_avx2.h"

/* Rounds to nearest even, computed on integers: bfloat16 in the upper half of each lane. A NaN keeps its upper half,
 * with a bit set so that it stays a NaN. */
static inline __m256i upper_bf16_8(__m256 x) {
    __m256i bits = _mm256_castps_si256(x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(rounded, _mm256_or_si256(bits, _mm256_set1_epi32(0x400000)), nan);
}

void narrow_bf16_avx2(uint32_t *out, const float *x, size_t depth) {
    size_t i = 0;
    for (; i + 16 <= depth; i += 16, out += 8) {
        __m256i low = _mm256_srli_epi32(upper_bf16_8(_mm256_loadu_ps(x + i)), 16);
        __m256i high = _mm256_srli_epi32(upper_bf16_8(_mm256_loadu_ps(x + i + 8)), 16);
        /* packing works within halves of a register; this puts the groups of eight bytes back in order */
        __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
        _mm256_storeu_si256((__m256i *)(void *)out, packed);
    }
    narrow_bf16_scalar(out, x + i, depth - i);
}

void narrow_panel_bf16_avx2(uint32_t *out, const float *in, size_t depth) {
    for (size_t k = 0; k < depth; k += 2, in += 2 * PANEL)
        for (size_t j = 0; j < PANEL; j += 8, out += 8) {
            __m256i pair = _mm256_srli_epi32(upper_bf16_8(_mm256_loadu_ps(in + j)), 16);
            if (k + 1 < depth) {
                __m256i upper = upper_bf16_8(_mm256_loadu_ps(in + PANEL + j));
                pair = _mm256_blend_epi16(pair, upper, 0xaa);
            }
            _mm256_storeu_si256((__m256i *)(void *)out, pair);
        }
}

static inline __m256 taken_8(const float *x, const float *factors, size_t i, size_t count) {
    __m256i mask = lanes_8(count < 8 ? count : 8);
    __m256 values = _mm256_maskload_ps(x + i, mask);
    return factors ? _mm256_mul_ps(values, _mm256_maskload_ps(factors + i, mask)) : values;
}

float quantize_int8_avx2(uint32_t *out, const float *x, const float *factors, size_t depth) {
    /* The bits of an absolute value rise with the value; infinities and NaN have the largest bits. */
    const __m256i absolute = _mm256_set1_epi32(0x7fffffff);
    __m256i most[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (size_t i = 0; i < depth; i += 16)
        for (size_t j = 0; j < 2 && i + 8 * j < depth; j++) {
            __m256i bits = _mm256_castps_si256(taken_8(x, factors, i + 8 * j, depth - i - 8 * j));
            most[j] = _mm256_max_epu32(most[j], _mm256_and_si256(bits, absolute));
        }
    uint32_t lanes[8], bits = 0;
    _mm256_storeu_si256((__m256i *)(void *)lanes, _mm256_max_epu32(most[0], most[1]));
    for (int j = 0; j < 8; j++) bits = lanes[j] > bits ? lanes[j] : bits;
    unsigned char *bytes = (unsigned char *)out;
    if (bits >= 0x7f800000) {
        memset(bytes, 128, round_up(depth, 4));
        return NAN;
    }
    float largest;
    memcpy(&largest, &bits, sizeof largest);
    const __m256 factor = _mm256_set1_ps(largest > 1e-35f ? 127 / largest : 0);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (size_t i = 0; i < depth; i += 32) {
        __m256i q[4];
        for (size_t j = 0; j < 4; j++) {
            size_t at = i + 8 * j, count = at < depth ? depth - at : 0;
            q[j] = _mm256_cvtps_epi32(_mm256_mul_ps(taken_8(x, factors, at, count), factor)); /* rounds to even */
        }
        __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
        packed = _mm256_xor_si256(_mm256_permutevar8x32_epi32(packed, order), _mm256_set1_epi8((char)128));
        _mm256_maskstore_epi32((int *)(void *)(bytes + i), lanes_8(size_min(divide_up(depth - i, 4), 8)), packed);
    }
    return largest / 127;
}
