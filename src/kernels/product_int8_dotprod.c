/* The 8-bit product with SDOT: each lane adds the products of four neighbours along the depth. A register of a has a
 * word of each of four rows, and the instruction picks a row. */
#define EXACT true
#define GROUP 4
#define STEP 1
#include "kernels/product_tiles_neon.h"

static inline void group_words(uint32_t *out, const uint32_t *const *rows, size_t words) {
    const uint32x4_t middle = vdupq_n_u32(0x80808080u);
    for (size_t k = 0; k < words; k += 4) {
        uint32x4x4_t x;
        for (int i = 0; i < 4; i++) x.val[i] = veorq_u32(vld1q_u32(rows[i] + k), middle);
        vst4q_u32(out + 4 * k, x);
    }
}

static inline __attribute__((always_inline)) void multiply(row_sums *sums, const uint32_t *a, size_t pitch,
                                                           const uint32_t *b, size_t words, const int rows) {
    int32x4_t sum[TILE_ROWS][2];
#pragma GCC unroll 12
    for (int i = 0; i < TILE_ROWS; i++) sum[i][0] = sum[i][1] = vdupq_n_s32(0);
    for (size_t k = 0; k < words; k++, a += GROUP, b += PANEL) {
        const int8x16_t b0 = vreinterpretq_s8_u32(vld1q_u32(b)), b1 = vreinterpretq_s8_u32(vld1q_u32(b + 4));
#define LANE(i)                                                                                                        \
    if (first + i < rows) {                                                                                            \
        sum[first + i][0] = vdotq_laneq_s32(sum[first + i][0], b0, x, i);                                              \
        sum[first + i][1] = vdotq_laneq_s32(sum[first + i][1], b1, x, i);                                              \
    }
#pragma GCC unroll 3
        for (int first = 0; first < TILE_ROWS; first += GROUP) {
            if (first >= rows) break;
            const int8x16_t x = vreinterpretq_s8_u32(vld1q_u32(a + (size_t)first / GROUP * pitch));
            LANE(0)
            LANE(1)
            LANE(2)
            LANE(3)
        }
#undef LANE
    }
#pragma GCC unroll 12
    for (int i = 0; i < TILE_ROWS; i++) {
        if (i >= rows) break;
        sums[i][0] = vreinterpretq_f32_s32(sum[i][0]);
        sums[i][1] = vreinterpretq_f32_s32(sum[i][1]);
    }
}

void product_int8_dotprod(const product_low *p) {
    product_any(p);
}
