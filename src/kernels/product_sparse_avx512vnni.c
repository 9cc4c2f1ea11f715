/* The sparse 8-bit product with VNNI and registers of 512 bits. */
#include "kernels/dot_avx512vnni.h"
#include "kernels/math_avx512.h"
#include "kernels/scaled_int8_avx512.h"

typedef __m512i vector;

#define LANES 16
#define PARTS 1
#define join(sum, x, b) add_bytes(sum, x, b)

static inline vector zero(void) {
    return _mm512_setzero_si512();
}

static inline vector load(const void *from) {
    return _mm512_load_si512(from);
}

static inline void store(void *to, vector x) {
    _mm512_store_si512(to, x);
}

static inline vector load_row(const uint32_t *from, size_t count) {
    return _mm512_maskz_loadu_epi32(lanes_16(count), from);
}

static inline void transpose(vector rows[16]) {
    __m512 square[16];
    for (int i = 0; i < 16; i++) square[i] = _mm512_castsi512_ps(rows[i]);
    transpose_16(square);
    for (int i = 0; i < 16; i++) rows[i] = _mm512_castps_si512(square[i]);
}

static inline vector part_of_rows(vector x, int i) {
    (void)i;
    return x;
}

static inline vector part_of_word(uint32_t word, int i) {
    (void)i;
    return _mm512_set1_epi32((int)word);
}

static inline void finish(const product_low *p, vector sum, size_t row, size_t column, size_t count) {
    const __mmask16 mask = lanes_16(count);
    __m512 y = scaled_int8(p, sum, row, column, mask);
    __m512 bias = p->bias ? _mm512_maskz_loadu_ps(mask, p->bias + column) : _mm512_setzero_ps();
    y = activate_low_16(_mm512_add_ps(y, bias), p->act);
    if (p->residual) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, p->residual + row * p->residual_stride + column));
    _mm512_mask_storeu_ps(p->c + row * p->c_stride + column, mask, y);
}

#include "kernels/product_sparse_loops.h"

const sparse_kernels sparse_avx512vnni = {product_any, BLOCK, 2 * LANES, 0.5};
