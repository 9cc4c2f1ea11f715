/* The 16-bit integer product, with the processor's own instruction (VNNI). */
#include "kernels/half.h"

#define PRODUCT product_low
#define PRODUCT_WORDS(p) ((p)->words)
#define PRODUCT_PITCH(p) product_low_pitch(p)
#define MULTIPLY_ADD(sum, x, b) add_pairs(sum, x, b)
#define FINISH(p, sum, row, column, mask)                                                                              \
    _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_maskz_loadu_ps(mask, (p)->column_scale + (column)))
#define ADDS(p) false
#define ACTIVATE(x, act) activate_16(x, act)

#include <math.h>
#include <string.h>

#include "kernels/dot_avx512vnni.h"

#include "kernels/product_tiles_avx512.h"

static void product(const product_low *p) {
    product_any(p);
}

static float unit_of(const float *x, size_t stride, size_t rows, size_t depth) {
    float most = 0;
    __m512 odd = _mm512_setzero_ps(); /* NaN where a value is not finite */
    for (size_t row = 0; row < rows; row++, x += stride) {
        __m512 sum = _mm512_setzero_ps();
        for (size_t k = 0; k < depth; k += 16) {
            __m512 values = _mm512_maskz_loadu_ps(lanes_16(size_min(depth - k, 16)), x + k);
            sum = _mm512_add_ps(sum, _mm512_abs_ps(values));
        }
        odd = _mm512_add_ps(odd, _mm512_sub_ps(sum, sum));
        float sizes = _mm512_reduce_add_ps(sum);
        most = sizes > most ? sizes : most;
    }
    return most * (1 + 1e-6f) / INT16_MOST + _mm512_reduce_add_ps(odd);
}

static inline void store_16(uint32_t *out, size_t k, size_t left, __m512 scaled) {
    __m256i q = _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(scaled)); /* rounds to even */
    _mm256_mask_storeu_epi16((char *)out + 2 * k, lanes_16(round_up(left, 2)), q);
}

static inline float inverse_of(float unit) {
    return unit > 1e-35f && unit < INFINITY ? 1 / unit : 0;
}

static void round_rows(uint32_t *out, size_t out_stride, const float *x, size_t stride, size_t rows, size_t depth,
                       float unit) {
    const __m512 inverse = _mm512_set1_ps(inverse_of(unit));
    for (size_t row = 0; row < rows; row++, x += stride, out += out_stride)
        for (size_t k = 0; k < depth; k += 16) {
            size_t left = size_min(depth - k, 16);
            store_16(out, k, left, _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes_16(left), x + k), inverse));
        }
}

static void quantize_panel(uint32_t *out, float *scale, const float *in, size_t depth, float factor) {
    for (size_t half = 0; half < PANEL; half += 16) {
        __m512i most = _mm512_setzero_si512(); /* bits of |w|: those of infinities and NaN are the largest */
        for (size_t k = 0; k < depth; k++)
            most = _mm512_max_epu32(most, _mm512_castps_si512(_mm512_abs_ps(_mm512_loadu_ps(in + k * PANEL + half))));
        float each[16] __attribute__((aligned(64)));
        _mm512_storeu_ps(scale + half, _mm512_mul_ps(_mm512_castsi512_ps(most), _mm512_set1_ps(1.0f / INT16_MOST)));
        for (size_t j = 0; j < 16; j++) {
            each[j] = inverse_of(scale[half + j]);
            scale[half + j] *= factor;
        }
        const __m512 inverse = _mm512_load_ps(each);
        const __m512i low = _mm512_set1_epi32(0xffff);
        for (size_t k = 0; k < depth; k += 2) {
            const float *row = in + k * PANEL + half;
            __m512i first = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(row), inverse));
            __m512i second = k + 1 < depth ? _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(row + PANEL), inverse))
                                           : _mm512_setzero_si512();
            _mm512_storeu_si512(out + k / 2 * PANEL + half,
                                _mm512_or_si512(_mm512_and_si512(first, low), _mm512_slli_epi32(second, 16)));
        }
    }
}

/* 2^t = 2^[t] 2^(t - [t]), relative error 3e-6; NaN stays. */
static inline __m512 exp2_16(__m512 t) {
    t = _mm512_max_ps(_mm512_set1_ps(-126), t); /* the second operand is returned for NaN */
    __m512 f = _mm512_reduce_ps(t, _MM_FROUND_TO_NEG_INF);
    __m512 p = _mm512_set1_ps(0.0135341212f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.0520114824f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.2414428f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.693003833f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.00000262f));
    return _mm512_scalef_ps(p, t);
}

/* Replaces scores by unnormalised probabilities. */
static inline __m512 risen_16(float *x, __mmask16 mask, __m512 steep, __m512 top) {
    __m512 e = exp2_16(_mm512_fmsub_ps(_mm512_maskz_loadu_ps(mask, x), steep, top));
    _mm512_mask_storeu_ps(x, mask, e);
    return e;
}

static float softmax(uint32_t *out, float *x, size_t count, float scale) {
    const size_t whole = count / 16 * 16, left = count - whole;
    const __mmask16 all = 0xffff, rest = lanes_16(left);
    __m512 max = _mm512_mask_loadu_ps(_mm512_set1_ps(-INFINITY), rest, x + whole), sum = _mm512_setzero_ps();
    for (size_t i = 0; i < whole; i += 16) max = _mm512_max_ps(max, _mm512_loadu_ps(x + i));
    const __m512 steep = _mm512_set1_ps(scale * 1.44269504f);
    const __m512 top = _mm512_mul_ps(_mm512_set1_ps(_mm512_reduce_max_ps(max)), steep);
    for (size_t i = 0; i < whole; i += 16) sum = _mm512_add_ps(sum, risen_16(x + i, all, steep, top));
    if (left) sum = _mm512_mask_add_ps(sum, rest, sum, risen_16(x + whole, rest, steep, top));
    float total = _mm512_reduce_add_ps(sum);
    if (!(total > 0 && total < INFINITY)) {
        memset(out, 0, words_bf16(count) * sizeof *out);
        return NAN;
    }
    const __m512 factor = _mm512_set1_ps(INT16_MOST / total);
    for (size_t i = 0; i < whole; i += 16) store_16(out, i, 16, _mm512_mul_ps(_mm512_loadu_ps(x + i), factor));
    if (left) store_16(out, whole, left, _mm512_mul_ps(_mm512_maskz_loadu_ps(rest, x + whole), factor));
    return total;
}

const half_kernels half_int16_avx512vnni = {true, 64, product, unit_of, round_rows, quantize_panel, NULL, softmax};
