/* The matrix product, AVX-512. */
#include "kernels/product.h"

#define PRODUCT product_f32
#define PRODUCT_WORDS(p) ((p)->depth)
#define PRODUCT_PITCH(p) product_f32_pitch(p)
#define MULTIPLY_ADD(sum, x, b)                                                                                        \
    _mm512_castps_si512(_mm512_fmadd_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(b), _mm512_castsi512_ps(sum)))
#define FINISH(p, sum, row, column, mask)                                                                              \
    ((p)->scale != 0 ? _mm512_mul_ps(_mm512_castsi512_ps(sum), _mm512_set1_ps((p)->scale)) : _mm512_castsi512_ps(sum))
#define ADDS(p) ((p)->add)
#include "kernels/product_tiles_avx512.h"

void product_f32_avx512(const product_f32 *p) {
    product_any(p);
}

/* Gathers 16 columns at a time; a gather of 16 floats takes about as long as 16 loads, with one store. */
void pack_transposed_f32_avx512(float *out, const float *in, size_t in_stride, size_t columns, size_t depth) {
    __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512i index = _mm512_mullo_epi32(lane, _mm512_set1_epi32((int)in_stride));
    for (size_t first = 0; first < columns; first += PANEL, out += depth * PANEL) {
        size_t left = columns - first;
        __mmask16 low = lanes_16(left < 16 ? left : 16);
        __mmask16 high = lanes_16(left < 16 ? 0 : left < 32 ? left - 16 : 16);
        const float *column = in + first * in_stride;
        for (size_t k = 0; k < depth; k++) {
            __m512 zero = _mm512_setzero_ps();
            _mm512_storeu_ps(out + k * PANEL, _mm512_mask_i32gather_ps(zero, low, index, column + k, 4));
            __m512 upper = high ? _mm512_mask_i32gather_ps(zero, high, index, column + 16 * in_stride + k, 4) : zero;
            _mm512_storeu_ps(out + k * PANEL + 16, upper);
        }
    }
}
