/* The matrix product, AVX2: a tile of up to 6 rows by half a panel (16 columns) in 12 registers. */
#include <immintrin.h>

#include "kernels/math_avx2.h"
#include "kernels/product_tiles_six.h"

/* The end of eight columns of a tile: scale, bias, activation, residual. `rows` and `whole` are constants at every
 * call. Masked stores are slow on some processors, so that only the last columns have them. */
static inline __attribute__((always_inline)) void finish(const product_f32 *p, __m256 sum[TILE_ROWS][2], int half,
                                                         size_t row, size_t first, __m256i mask, const int rows,
                                                         const bool whole) {
    const __m256 bias = !p->bias ? _mm256_setzero_ps()
                        : whole  ? _mm256_loadu_ps(p->bias + first)
                                 : _mm256_maskload_ps(p->bias + first, mask);
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        float *c = p->c + (row + (size_t)i) * p->c_stride + first;
        __m256 y = sum[i][half];
        if (p->scale != 0) y = _mm256_mul_ps(y, _mm256_set1_ps(p->scale));
        y = _mm256_add_ps(y, bias);
        if (p->act != ACTIVATION_NONE) y = activate_8(y, p->act);
        if (p->residual) {
            const float *residual = p->residual + (row + (size_t)i) * p->residual_stride + first;
            y = _mm256_add_ps(y, whole ? _mm256_loadu_ps(residual) : _mm256_maskload_ps(residual, mask));
        }
        if (whole)
            _mm256_storeu_ps(c, y);
        else
            _mm256_maskstore_ps(c, mask, y);
    }
}

/* One tile. `rows` is a constant at every call. */
static inline __attribute__((always_inline)) void tile(const product_f32 *of, size_t row, size_t column,
                                                       const int rows) {
    const product_f32 own = *of, *p = &own; /* a copy, which writing c cannot change */
    const float *a = p->a + row * p->a_stride;
    const float *b = p->b + column / PANEL * PANEL * product_f32_pitch(p) + column % PANEL;
    __m256 sum[TILE_ROWS][2];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) sum[i][0] = sum[i][1] = _mm256_setzero_ps();
    size_t left = p->columns - column;
    if (p->add) {
        __m256i low = lanes_8(left < 8 ? left : 8), high = lanes_8(left < 8 ? 0 : left < 16 ? left - 8 : 8);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            const float *c = p->c + (row + (size_t)i) * p->c_stride + column;
            sum[i][0] = _mm256_maskload_ps(c, low);
            sum[i][1] = _mm256_maskload_ps(c + 8, high);
        }
    }
    for (size_t k = 0; k < p->depth; k++) {
        __m256 b0 = _mm256_loadu_ps(b + k * PANEL), b1 = _mm256_loadu_ps(b + k * PANEL + 8);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            __m256 x = _mm256_broadcast_ss(a + (size_t)i * p->a_stride + k);
            sum[i][0] = _mm256_fmadd_ps(x, b0, sum[i][0]);
            sum[i][1] = _mm256_fmadd_ps(x, b1, sum[i][1]);
        }
    }
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        size_t first = column + 8 * (size_t)half, width = left > 8 * (size_t)half ? left - 8 * (size_t)half : 0;
        if (width >= 8)
            finish(p, sum, half, row, first, _mm256_setzero_si256(), rows, true);
        else if (width)
            finish(p, sum, half, row, first, lanes_8(width), rows, false);
    }
}

void product_f32_avx2(const product_f32 *p) {
    product_any(p);
}

/* Blocks of 8 by 8, transposed in registers. */
void pack_transposed_f32_avx2(float *out, const float *in, size_t in_stride, size_t columns, size_t depth) {
    for (size_t first = 0; first < columns; first += PANEL, out += depth * PANEL)
        for (size_t part = 0; part < PANEL; part += 8) {
            const size_t begin = first + part, have = begin >= columns ? 0 : size_min(columns - begin, 8);
            for (size_t k = 0; k < depth; k += 8) {
                const size_t left = size_min(depth - k, 8);
                __m256 square[8];
                for (size_t j = 0; j < 8; j++)
                    square[j] = j < have ? _mm256_maskload_ps(in + (begin + j) * in_stride + k, lanes_8(left))
                                         : _mm256_setzero_ps();
                if (have) transpose_8(square);
                for (size_t j = 0; j < left; j++) _mm256_storeu_ps(out + (k + j) * PANEL + part, square[j]);
            }
        }
}
