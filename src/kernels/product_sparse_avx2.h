/* The sparse product with registers of 256 bits. The including file defines PARTS, part_of_rows, part_of_word, join and
 * scaled as product_sparse_loops.h and product_parts_avx2.h say. */
#include "kernels/math_avx2.h"
#include "kernels/product_low.h"

#define LANES 8

static inline vector zero(void) {
    return _mm256_setzero_si256();
}

static inline vector load(const void *from) {
    return _mm256_load_si256(from);
}

static inline void store(void *to, vector x) {
    _mm256_store_si256(to, x);
}

static inline vector load_row(const uint32_t *from, size_t count) {
    return _mm256_maskload_epi32((const int *)(const void *)from, lanes_8(count));
}

static inline void transpose(vector rows[8]) {
    __m256 square[8];
    for (int i = 0; i < 8; i++) square[i] = _mm256_castsi256_ps(rows[i]);
    transpose_8(square);
    for (int i = 0; i < 8; i++) rows[i] = _mm256_castps_si256(square[i]);
}

static inline void finish(const product_low *p, vector sum, size_t row, size_t column, size_t count) {
    const __m256i mask = lanes_8(count);
    __m256 y = scaled(p, sum, row, column, mask);
    __m256 bias = p->bias ? _mm256_maskload_ps(p->bias + column, mask) : _mm256_setzero_ps();
    y = activate_8(_mm256_add_ps(y, bias), p->act);
    if (p->residual) y = _mm256_add_ps(y, _mm256_maskload_ps(p->residual + row * p->residual_stride + column, mask));
    _mm256_maskstore_ps(p->c + row * p->c_stride + column, mask, y);
}

#include "kernels/product_sparse_loops.h"
