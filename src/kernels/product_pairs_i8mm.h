/* Tiles of the instructions that multiply matrices of two rows by two columns: SMMLA, of eight bytes along the depth,
 * and BFMMLA, of four bfloat16. A register of a has two words of each of two rows, and one of b two words of each of
 * two columns. The including file defines EXACT and
 *   multiply_add(sum, x, b)   sum [row][column] + x b, on registers of bits */
#define GROUP 2
#define STEP 2
#include "kernels/product_tiles_neon.h"

static inline __attribute__((always_inline)) uint32x4_t multiply_add(uint32x4_t sum, uint32x4_t x, uint32x4_t b);

static inline void group_words(uint32_t *out, const uint32_t *const *rows, size_t words) {
    const uint32x4_t middle = vdupq_n_u32(EXACT ? 0x80808080u : 0);
    for (size_t k = 0; k < words; k += 4) {
        const uint64x2_t x = vreinterpretq_u64_u32(veorq_u32(vld1q_u32(rows[0] + k), middle));
        const uint64x2_t y = vreinterpretq_u64_u32(veorq_u32(vld1q_u32(rows[1] + k), middle));
        vst1q_u32(out + 2 * k, vreinterpretq_u32_u64(vzip1q_u64(x, y)));
        vst1q_u32(out + 2 * k + 4, vreinterpretq_u32_u64(vzip2q_u64(x, y)));
    }
}

static inline __attribute__((always_inline)) void multiply(row_sums *sums, const uint32_t *a, size_t pitch,
                                                           const uint32_t *b, size_t words, const int rows) {
    static const uint32_t none[TILE_COLUMNS];
    uint32x4_t sum[TILE_ROWS / 2][4];
#pragma GCC unroll 6
    for (int i = 0; i < TILE_ROWS / 2; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) sum[i][j] = vdupq_n_u32(0);
    for (size_t k = 0; k < words; k += 2, a += 4, b += 2 * PANEL) {
        const uint32_t *next = k + 1 < words ? b + PANEL : none;
        const uint32x4_t low[2] = {vld1q_u32(b), vld1q_u32(b + 4)}, high[2] = {vld1q_u32(next), vld1q_u32(next + 4)};
        const uint32x4_t columns[4] = {vzip1q_u32(low[0], high[0]), vzip2q_u32(low[0], high[0]),
                                       vzip1q_u32(low[1], high[1]), vzip2q_u32(low[1], high[1])};
#pragma GCC unroll 6
        for (int i = 0; i < TILE_ROWS / 2; i++) {
            if (2 * i >= rows) break;
            __asm__ volatile("" : : : "memory"); /* gcc 12 would load all of a first, and spill sums */
            const uint32x4_t x = vld1q_u32(a + (size_t)i * pitch);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++) sum[i][j] = multiply_add(sum[i][j], x, columns[j]);
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < TILE_ROWS; i++) {
        if (i >= rows) break;
#pragma GCC unroll 2
        for (int j = 0; j < VECTORS; j++) {
            const uint64x2_t x = vreinterpretq_u64_u32(sum[i / 2][2 * j]);
            const uint64x2_t y = vreinterpretq_u64_u32(sum[i / 2][2 * j + 1]);
            sums[i][j] = vreinterpretq_f32_u64(i % 2 ? vzip2q_u64(x, y) : vzip1q_u64(x, y));
        }
    }
}
