/* The matrix product, AVX-512. */
#include "kernels/product.h"

#define PRODUCT product_f32
#define PRODUCT_WORDS(p) ((p)->depth)
#define PRODUCT_PITCH(p) product_f32_pitch(p)
#define MULTIPLY_ADD(sum, x, b)                                                                                        \
    _mm512_castps_si512(_mm512_fmadd_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(b), _mm512_castsi512_ps(sum)))
#define FINISH(p, sum, row, column, mask)                                                                              \
    _mm512_mul_ps(_mm512_castsi512_ps(sum), _mm512_set1_ps((p)->scale != 0 ? (p)->scale : 1))
#define ADDS(p) ((p)->add)
#define ACTIVATE(x, act) activate_16(x, act)
#include "kernels/product_tiles_avx512.h"

void product_f32_avx512(const product_f32 *p) {
    product_any(p);
}

/* Blocks of 16 by 16, transposed in registers. */
void pack_transposed_f32_avx512(float *out, const float *in, size_t in_stride, size_t columns, size_t depth) {
    for (size_t first = 0; first < columns; first += PANEL, out += depth * PANEL)
        for (size_t half = 0; half < PANEL; half += 16) {
            size_t begin = first + half, have = begin >= columns ? 0 : columns - begin < 16 ? columns - begin : 16;
            for (size_t k = 0; k < depth; k += 16) {
                size_t left = depth - k < 16 ? depth - k : 16;
                const __mmask16 mask = lanes_16(left);
                __m512 square[16];
                for (size_t j = 0; j < 16; j++)
                    square[j] =
                        j < have ? _mm512_maskz_loadu_ps(mask, in + (begin + j) * in_stride + k) : _mm512_setzero_ps();
                if (have) transpose_16(square);
                for (size_t j = 0; j < left; j++) _mm512_storeu_ps(out + (k + j) * PANEL + half, square[j]);
            }
        }
}
