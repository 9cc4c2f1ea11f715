/* The matrix product, NEON: a tile of up to 6 rows by half a panel (16 columns) in 24 registers. */
#include "kernels/math_neon.h"
#include "kernels/product_tiles_six.h"

enum { VECTORS = HALF / 4 };

/* One vector of a finished tile, `width` of 4 columns. */
static inline void finish(const product_f32 *p, float32x4_t y, size_t row, size_t column, size_t width) {
    float *c = p->c + row * p->c_stride + column;
    const float *bias = p->bias ? p->bias + column : NULL;
    const float *residual = p->residual ? p->residual + row * p->residual_stride + column : NULL;
    if (p->scale != 0) y = vmulq_n_f32(y, p->scale);
    if (bias) y = vaddq_f32(y, load_up_to_4(bias, width));
    y = activate_4(y, p->act);
    if (residual) y = vaddq_f32(y, load_up_to_4(residual, width));
    store_up_to_4(c, y, width);
}

/* One tile. `rows` is a constant at every call. Unrolled loops over constants keep the sums in registers; at the end
 * they go to memory, so that the code which finishes them is there once. */
static inline __attribute__((always_inline)) void tile(const product_f32 *p, size_t row, size_t column,
                                                       const int rows) {
    const float *a = p->a + row * p->a_stride;
    const float *b = p->b + column / PANEL * PANEL * product_f32_pitch(p) + column % PANEL;
    float32x4_t sum[TILE_ROWS][VECTORS], ended[TILE_ROWS][VECTORS];
    size_t left = p->columns - column < HALF ? p->columns - column : HALF;
#pragma GCC unroll 6
    for (int i = 0; i < TILE_ROWS; i++) {
        if (i >= rows) break;
#pragma GCC unroll 4
        for (int j = 0; j < VECTORS; j++) {
            size_t first = 4 * (size_t)j, width = left > first ? left - first : 0;
            const float *c = p->c + (row + (size_t)i) * p->c_stride + column + first;
            sum[i][j] = !p->add || width == 0 ? vdupq_n_f32(0) : load_up_to_4(c, width);
        }
    }
    for (size_t k = 0; k < p->depth; k++) {
        float32x4_t values[VECTORS];
#pragma GCC unroll 4
        for (int j = 0; j < VECTORS; j++) values[j] = vld1q_f32(b + k * PANEL + 4 * j);
#pragma GCC unroll 6
        for (int i = 0; i < TILE_ROWS; i++) {
            if (i >= rows) break;
            float32x4_t x = vld1q_dup_f32(a + (size_t)i * p->a_stride + k);
#pragma GCC unroll 4
            for (int j = 0; j < VECTORS; j++) sum[i][j] = vfmaq_f32(sum[i][j], values[j], x);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < TILE_ROWS; i++) {
        if (i >= rows) break;
#pragma GCC unroll 4
        for (int j = 0; j < VECTORS; j++) ended[i][j] = sum[i][j];
    }
    for (int i = 0; i < rows; i++)
        for (size_t j = 0; 4 * j < left; j++) finish(p, ended[i][j], row + (size_t)i, column + 4 * j, left - 4 * j);
}

void product_f32_neon(const product_f32 *p) {
    product_any(p);
}
