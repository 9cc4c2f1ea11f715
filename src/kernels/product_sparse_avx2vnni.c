/* The sparse 8-bit product with AVX-VNNI. */
#include <immintrin.h>

#include "kernels/product_low.h"

typedef __m256i vector;

#define PARTS 1

static inline vector part_of_rows(vector x, int i) {
    (void)i;
    return x;
}

static inline vector part_of_word(uint32_t word, int i) {
    (void)i;
    return _mm256_set1_epi32((int)word);
}

static inline vector join(vector sum, vector x, vector b) {
    return _mm256_dpbusd_avx_epi32(sum, x, b);
}

static inline __m256 scaled(const product_low *p, vector sum, size_t row, size_t column, __m256i mask) {
    __m256i offset = _mm256_maskload_epi32(p->column_offset + column, mask);
    __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(sum, offset)), _mm256_set1_ps(p->row_scale[row]));
    return _mm256_mul_ps(value, _mm256_maskload_ps(p->column_scale + column, mask));
}

#include "kernels/product_sparse_avx2.h"

const sparse_kernels sparse_avx2vnni = {product_any, BLOCK, LANES, 0.3};
