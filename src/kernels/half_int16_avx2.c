/* The products of attention in 16-bit integers, AVX2. */
#include "kernels/half.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define PARTS 1

static inline __m256i part_of(__m256i words, int i) {
    (void)i;
    return words;
}

static inline __m256i join(__m256i sum, __m256i x, __m256i b) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(x, b));
}

static inline __m256 scaled(const product_low *p, __m256i sum, size_t row, size_t column, __m256i mask) {
    (void)row;
    return _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_maskload_ps(p->column_scale + column, mask));
}

#include "kernels/product_parts_avx2.h"

static void product(const product_low *p) {
    product_block(p, &(block){p->a, p->a_stride, 0, 0, p->words}, p->rows);
}

static inline __m256 absolute_8(__m256 x) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

static inline __m256i lanes_left(size_t left) {
    return lanes_8(left < 8 ? left : 8);
}

static float unit_of(const float *x, size_t stride, size_t rows, size_t depth) {
    float most = 0;
    __m256 odd = _mm256_setzero_ps(); /* NaN where a value is not finite */
    for (size_t row = 0; row < rows; row++, x += stride) {
        __m256 sum = _mm256_setzero_ps();
        for (size_t k = 0; k < depth; k += 8)
            sum = _mm256_add_ps(sum, absolute_8(_mm256_maskload_ps(x + k, lanes_left(depth - k))));
        odd = _mm256_add_ps(odd, _mm256_sub_ps(sum, sum));
        float sizes = sum_8(sum);
        most = sizes > most ? sizes : most;
    }
    return most * (1 + 1e-6f) / INT16_MOST + sum_8(odd);
}

static inline float inverse_of(float unit) {
    return unit > 1e-35f && unit < INFINITY ? 1 / unit : 0;
}

/* Writes 8 values, rounded to even, as the 4 words from value k; fewer near the end, where the rest is zero. */
static inline void store_8(uint32_t *out, size_t k, size_t left, __m256 scaled) {
    __m256i q = _mm256_cvtps_epi32(scaled);
    __m128i pairs = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
    _mm_maskstore_epi32((int *)(void *)(out + k / 2), _mm256_castsi256_si128(lanes_8((size_min(left, 8) + 1) / 2)),
                        pairs);
}

static void round_rows(uint32_t *out, size_t out_stride, const float *x, size_t stride, size_t rows, size_t depth,
                       float unit) {
    const __m256 inverse = _mm256_set1_ps(inverse_of(unit));
    for (size_t row = 0; row < rows; row++, x += stride, out += out_stride)
        for (size_t k = 0; k < depth; k += 8)
            store_8(out, k, depth - k, _mm256_mul_ps(_mm256_maskload_ps(x + k, lanes_left(depth - k)), inverse));
}

static void quantize_panel(uint32_t *out, float *scale, const float *in, size_t depth, float factor) {
    for (size_t first = 0; first < PANEL; first += 8) {
        __m256i most = _mm256_setzero_si256(); /* bits of |w|: infinities and NaN have the largest */
        for (size_t k = 0; k < depth; k++)
            most = _mm256_max_epu32(most, _mm256_castps_si256(absolute_8(_mm256_loadu_ps(in + k * PANEL + first))));
        _mm256_storeu_ps(scale + first, _mm256_mul_ps(_mm256_castsi256_ps(most), _mm256_set1_ps(1.0f / INT16_MOST)));
        float each[8];
        for (size_t j = 0; j < 8; j++) {
            each[j] = inverse_of(scale[first + j]);
            scale[first + j] *= factor;
        }
        const __m256 inverse = _mm256_loadu_ps(each);
        for (size_t k = 0; k < depth; k += 2) {
            const float *row = in + k * PANEL + first;
            __m256i pair = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(row), inverse)), second = {0};
            if (k + 1 < depth) second = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(row + PANEL), inverse));
            pair = _mm256_blend_epi16(pair, _mm256_slli_epi32(second, 16), 0xaa);
            _mm256_storeu_si256((__m256i *)(void *)(out + k / 2 * PANEL + first), pair);
        }
    }
}

/* 2^t = 2^[t] 2^(t - [t]) for t <= 0, relative error 3e-6; NaN stays. */
static inline __m256 exp2_8(__m256 t) {
    t = _mm256_max_ps(_mm256_set1_ps(-126), t); /* the second operand is returned for NaN */
    __m256 whole = _mm256_floor_ps(t), f = _mm256_sub_ps(t, whole);
    __m256 p = _mm256_set1_ps(0.0135341212f);
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(0.0520114824f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(0.2414428f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(0.693003833f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.00000262f));
    __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(p, _mm256_castsi256_ps(power));
}

static float softmax(uint32_t *out, float *x, size_t count, float scale) {
    const __m256 lowest = _mm256_set1_ps(-INFINITY);
    __m256 max = lowest, sum = _mm256_setzero_ps();
    for (size_t i = 0; i < count; i += 8) {
        __m256i mask = lanes_left(count - i);
        max = _mm256_max_ps(max, _mm256_blendv_ps(lowest, _mm256_maskload_ps(x + i, mask), _mm256_castsi256_ps(mask)));
    }
    const float steepness = scale * 1.44269504f;
    const __m256 top = _mm256_set1_ps(max_8(max) * steepness), steep = _mm256_set1_ps(steepness);
    for (size_t i = 0; i < count; i += 8) {
        __m256i mask = lanes_left(count - i);
        __m256 e = exp2_8(_mm256_fmsub_ps(_mm256_maskload_ps(x + i, mask), steep, top));
        e = _mm256_and_ps(e, _mm256_castsi256_ps(mask));
        _mm256_maskstore_ps(x + i, mask, e);
        sum = _mm256_add_ps(sum, e);
    }
    float total = sum_8(sum);
    if (!(total > 0 && total < INFINITY)) {
        memset(out, 0, words_bf16(count) * sizeof *out);
        return NAN;
    }
    const __m256 factor = _mm256_set1_ps(INT16_MOST / total);
    for (size_t i = 0; i < count; i += 8)
        store_8(out, i, count - i, _mm256_mul_ps(_mm256_maskload_ps(x + i, lanes_left(count - i)), factor));
    return total;
}

const half_kernels half_int16_avx2 = {true, 64, product, unit_of, round_rows, quantize_panel, NULL, softmax};
