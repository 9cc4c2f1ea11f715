/* Attention in bfloat16, with Arm's matrix instruction and the processor's own rounding. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "kernels/half.h"
#include "kernels/math_neon.h"

static inline uint16x8_t halves_8(float32x4_t low, float32x4_t high) {
    return vreinterpretq_u16_bf16(vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(low), high));
}

/* Words of two rows of 8 halves: the lower half is of the first row. */
static inline void store_pairs(uint32_t *out, uint16x8_t first, uint16x8_t second) {
    vst1q_u32(out, vreinterpretq_u32_u16(vzip1q_u16(first, second)));
    vst1q_u32(out + 4, vreinterpretq_u32_u16(vzip2q_u16(first, second)));
}

static void round_rows(uint32_t *out, size_t out_stride, const float *x, size_t stride, size_t rows, size_t depth,
                       float unit) {
    (void)unit;
    for (size_t row = 0; row < rows; row++) narrow_bf16_neon(out + row * out_stride, x + row * stride, depth);
}

static inline uint16x8_t scaled_8(const float *x, float factor) {
    return halves_8(vmulq_n_f32(vld1q_f32(x), factor), vmulq_n_f32(vld1q_f32(x + 4), factor));
}

static void round_panel(uint32_t *out, float *scale, const float *in, size_t depth, float factor) {
    (void)scale;
    for (size_t k = 0; k < depth; k += 2, in += 2 * PANEL)
        for (size_t j = 0; j < PANEL; j += 8, out += 8)
            store_pairs(out, scaled_8(in + j, factor),
                        k + 1 < depth ? scaled_8(in + PANEL + j, factor) : vdupq_n_u16(0));
}

/* The first `count` halves of a row, at most 8, with zeros after them. */
static inline uint16x8_t load_halves(const uint32_t *row, size_t count) {
    uint32_t words[4] = {0};
    if (count < 8) {
        memcpy(words, row, count * 2);
        row = words;
    }
    return vreinterpretq_u16_u32(vld1q_u32(row));
}

static void pair_rows(uint32_t *out, const uint32_t *in, size_t in_stride, size_t columns, size_t depth) {
    for (size_t k = 0; k < depth; k += 2, in += 2 * in_stride)
        for (size_t j = 0; j < PANEL; j += 8, out += 8) {
            const size_t count = j < columns ? size_min(columns - j, 8) : 0;
            const size_t at = count ? j / 2 : 0;
            store_pairs(out, load_halves(in + at, count), load_halves(in + in_stride + at, k + 1 < depth ? count : 0));
        }
}

/* 2^t for t <= 0, relative error 7.5e-5; at least 2^-126. NaN stays. */
static inline float32x4_t exp2_4(float32x4_t t) {
    t = vmaxq_f32(t, vdupq_n_f32(-126));
    const float32x4_t whole = vrndmq_f32(t), f = vsubq_f32(t, whole);
    float32x4_t p = fma_4(vdupq_n_f32(0.0780245389f), f, 0.226067215f);
    p = fma_4(p, f, 0.695833473f);
    p = fma_4(p, f, 0.99992523f);
    const int32x4_t power = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(whole), vdupq_n_s32(127)), 23);
    return vmulq_f32(p, vreinterpretq_f32_s32(power));
}

/* Replaces eight scores by exponentials, and adds these to the sums. */
static inline uint16x8_t risen_8(float *x, float steep, float32x4_t top, float32x4_t *sum) {
    float32x4_t e[2];
    for (int j = 0; j < 2; j++) {
        e[j] = exp2_4(vfmaq_n_f32(vnegq_f32(top), vld1q_f32(x + 4 * j), steep));
        vst1q_f32(x + 4 * j, e[j]);
        sum[j] = vaddq_f32(sum[j], e[j]);
    }
    return halves_8(e[0], e[1]);
}

static float softmax(uint32_t *out, float *x, size_t count, float scale) {
    const size_t whole = count / 8 * 8, left = count - whole;
    float last[8];
    for (size_t i = 0; i < 8; i++) last[i] = i < left ? x[whole + i] : -INFINITY;
    float32x4_t max[2] = {vld1q_f32(last), vld1q_f32(last + 4)}, sum[2] = {vdupq_n_f32(0), vdupq_n_f32(0)};
    for (size_t i = 0; i < whole; i += 8) {
        max[0] = vmaxq_f32(max[0], vld1q_f32(x + i));
        max[1] = vmaxq_f32(max[1], vld1q_f32(x + i + 4));
    }
    const float steep = scale * 1.44269504f;
    const float32x4_t top = vdupq_n_f32(vmaxvq_f32(vmaxq_f32(max[0], max[1])) * steep);
    for (size_t i = 0; i < whole; i += 8)
        vst1q_u32(out + i / 2, vreinterpretq_u32_u16(risen_8(x + i, steep, top, sum)));
    if (left) {
        /* Lanes beyond the end add 2^-126 each, which does not change the sum. An odd end has a zero in its word. */
        uint16_t halves[8];
        vst1q_u16(halves, risen_8(last, steep, top, sum));
        halves[left] = 0;
        memcpy(x + whole, last, left * sizeof *last);
        memcpy(out + whole / 2, halves, words_bf16(left) * sizeof *out);
    }
    const float total = vaddvq_f32(vaddq_f32(sum[0], sum[1]));
    return total > 0 && total < INFINITY ? total : NAN;
}

const half_kernels half_bf16_i8mm = {false, 0, product_bf16_i8mm, NULL, round_rows, round_panel, pair_rows, softmax};
