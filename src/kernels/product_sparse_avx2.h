/* The sparse product with registers of 256 bits. The including file includes the parts of a word before
 * (parts_int8_avx2.h, parts_int8_avx2vnni.h). */
#include "kernels/finish_avx2.h"

typedef __m256i vector;

#define LANES 8

static inline vector part_of_rows(vector x, int i) {
    return part_of(bytes_of_a(x), i);
}

static inline vector part_of_word(uint32_t word, int i) {
    return part_of(_mm256_set1_epi32((int)word), i);
}

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
    const __m256 bias = p->bias ? _mm256_maskload_ps(p->bias + column, mask) : _mm256_setzero_ps();
    end_eight(p, scaled(p, sum, row, column, mask), row, column, bias, mask);
}

#include "kernels/product_sparse_loops.h"
