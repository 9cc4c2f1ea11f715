/* Attention in bfloat16, with the processor's own rounding. The products are of AVX-512 or of tiles. */
#include <immintrin.h>
#include <math.h>

#include "base/checked.h"
#include "kernels/half.h"
#include "kernels/math_avx512.h"

static void round_rows(uint32_t *out, size_t out_stride, const float *x, size_t stride, size_t rows, size_t depth,
                       float unit) {
    (void)unit;
    for (size_t row = 0; row < rows; row++) narrow_bf16_avx512(out + row * out_stride, x + row * stride, depth);
}

/* Of two rows of 16 halves, one after the other, it makes a row of 16 pairs: an even half is of the first row. */
static inline __m512i pair_order(void) {
    return _mm512_setr_epi32(0x00100000, 0x00110001, 0x00120002, 0x00130003, 0x00140004, 0x00150005, 0x00160006,
                             0x00170007, 0x00180008, 0x00190009, 0x001a000a, 0x001b000b, 0x001c000c, 0x001d000d,
                             0x001e000e, 0x001f000f);
}

static void pair_rows(uint32_t *out, const uint32_t *in, size_t in_stride, size_t columns, size_t depth) {
    const __mmask16 halves[2] = {lanes_16(size_min(columns, 16)), lanes_16(columns < 16 ? 0 : columns - 16)};
    const __m512i order = pair_order();
    for (size_t k = 0; k < depth; k += 2, in += 2 * in_stride)
        for (size_t j = 0; j < 2; j++, out += 16) {
            const char *from = (const char *)in + 32 * j;
            __m256i first = _mm256_maskz_loadu_epi16(halves[j], from), second = _mm256_setzero_si256();
            if (k + 1 < depth) second = _mm256_maskz_loadu_epi16(halves[j], from + 4 * in_stride);
            __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
            _mm512_storeu_si512(out, _mm512_permutexvar_epi16(order, both));
        }
}

static void round_panel(uint32_t *out, float *scale, const float *in, size_t depth, float factor) {
    (void)scale;
    const __m512 times = _mm512_set1_ps(factor);
    const __m512i order = pair_order();
    for (size_t k = 0; k < depth; k += 2, in += 2 * PANEL)
        for (size_t j = 0; j < PANEL; j += 16, out += 16) {
            __m512 first = _mm512_mul_ps(_mm512_loadu_ps(in + j), times), second = _mm512_setzero_ps();
            if (k + 1 < depth) second = _mm512_mul_ps(_mm512_loadu_ps(in + PANEL + j), times);
            __m512i both = (__m512i)_mm512_cvtne2ps_pbh(second, first);
            _mm512_storeu_si512(out, _mm512_permutexvar_epi16(order, both));
        }
}

/* 2^t for t <= 0, relative error 7.5e-5; NaN stays. */
static inline __m512 exp2_16(__m512 t) {
    __m512 f = _mm512_reduce_ps(t, _MM_FROUND_TO_NEG_INF);
    __m512 p = _mm512_set1_ps(0.0780245389f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.226067215f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.695833473f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.99992523f));
    return _mm512_scalef_ps(p, t);
}

/* Replaces scores by exponentials; zero where the mask is. */
static inline __m512 risen_16(float *x, __mmask16 mask, __m512 steep, __m512 top) {
    const __m512 t = _mm512_fmsub_ps(_mm512_maskz_loadu_ps(mask, x), steep, top);
    const __m512 e = _mm512_maskz_mov_ps(mask, exp2_16(t));
    _mm512_mask_storeu_ps(x, mask, e);
    return e;
}

static float softmax(uint32_t *out, float *x, size_t count, float scale) {
    const size_t whole = count / 32 * 32, left = count - whole;
    const __mmask16 all = 0xffff, low = lanes_16(size_min(left, 16)), high = lanes_16(left < 16 ? 0 : left - 16);
    const __m512 lowest = _mm512_set1_ps(-INFINITY);
    __m512 max[2] = {_mm512_mask_loadu_ps(lowest, low, x + whole), lowest};
    if (high) max[1] = _mm512_mask_loadu_ps(lowest, high, x + whole + 16);
    for (size_t i = 0; i < whole; i += 32) {
        max[0] = _mm512_max_ps(max[0], _mm512_loadu_ps(x + i));
        max[1] = _mm512_max_ps(max[1], _mm512_loadu_ps(x + i + 16));
    }
    const __m512 steep = _mm512_set1_ps(scale * 1.44269504f);
    const __m512 top = _mm512_mul_ps(_mm512_set1_ps(_mm512_reduce_max_ps(_mm512_max_ps(max[0], max[1]))), steep);
    __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    for (size_t i = 0; i < whole; i += 32) {
        const __m512 first = risen_16(x + i, all, steep, top), second = risen_16(x + i + 16, all, steep, top);
        sum[0] = _mm512_add_ps(sum[0], first);
        sum[1] = _mm512_add_ps(sum[1], second);
        _mm512_storeu_si512(out + i / 2, (__m512i)_mm512_cvtne2ps_pbh(second, first));
    }
    if (left) {
        const __m512 first = risen_16(x + whole, low, steep, top),
                     second = high ? risen_16(x + whole + 16, high, steep, top) : first;
        sum[0] = _mm512_add_ps(sum[0], first);
        if (high) sum[1] = _mm512_add_ps(sum[1], second);
        _mm512_mask_storeu_epi32(out + whole / 2, lanes_16((left + 1) / 2),
                                 (__m512i)_mm512_cvtne2ps_pbh(high ? second : _mm512_setzero_ps(), first));
    }
    const float total = _mm512_reduce_add_ps(_mm512_add_ps(sum[0], sum[1]));
    return total > 0 && total < INFINITY ? total : NAN;
}

const half_kernels half_bf16_avx512bf16 = {false,     0,      product_bf16_avx512bf16, NULL, round_rows, round_panel,
                                           pair_rows, softmax};
const half_kernels half_bf16_amx = {false, 0, product_bf16_amx, NULL, round_rows, round_panel, pair_rows, softmax};
