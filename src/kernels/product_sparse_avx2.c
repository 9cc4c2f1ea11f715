/* The sparse 8-bit product, AVX2: parts of a word as in product_int8_avx2.c. */
#include <immintrin.h>

#include "kernels/product_low.h"

typedef __m256i vector;

#define PARTS 2

static inline vector even_or_odd(vector words, int i) {
    return _mm256_srai_epi16(i ? words : _mm256_slli_epi16(words, 8), 8);
}

static inline vector part_of_rows(vector x, int i) {
    return even_or_odd(_mm256_xor_si256(x, _mm256_set1_epi8((char)128)), i);
}

static inline vector part_of_word(uint32_t word, int i) {
    return even_or_odd(_mm256_set1_epi32((int)word), i);
}

static inline vector join(vector sum, vector x, vector b) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(x, b));
}

static inline __m256 scaled(const product_low *p, vector sum, size_t row, size_t column, __m256i mask) {
    __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(p->row_scale[row]));
    return _mm256_mul_ps(value, _mm256_maskload_ps(p->column_scale + column, mask));
}

#include "kernels/product_sparse_avx2.h"

const sparse_kernels sparse_avx2 = {product_any, BLOCK, LANES, 0.7};
