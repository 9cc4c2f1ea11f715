/* The same as parts_int8_avx2.h with the processor's own instruction for 256 bits (AVX-VNNI), which takes whole words.
 */
#include <immintrin.h>

#include "kernels/product_low.h"

#define PARTS 1

static inline __m256i part_of(__m256i words, int i) {
    (void)i;
    return words;
}

static inline __m256i bytes_of_a(__m256i words) {
    return words;
}

static inline __m256i join(__m256i sum, __m256i x, __m256i b) {
    return _mm256_dpbusd_avx_epi32(sum, x, b);
}

static inline __m256 scaled(const product_low *p, __m256i sum, size_t row, size_t column, __m256i mask) {
    __m256i offset = _mm256_maskload_epi32(p->column_offset + column, mask);
    __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(sum, offset)), _mm256_set1_ps(p->row_scale[row]));
    return _mm256_mul_ps(value, _mm256_maskload_ps(p->column_scale + column, mask));
}
