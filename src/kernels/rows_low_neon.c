/* Making rows and panels ready for the low-precision products, NEON. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "kernels/math_neon.h"
#include "kernels/product_low.h"

/* Rounds to nearest even, computed on integers: bfloat16 in the upper half of each lane. A NaN keeps its upper half,
 * with a bit set so that it stays a NaN. */
static inline uint32x4_t upper_bf16_4(float32x4_t x) {
    const uint32x4_t bits = vreinterpretq_u32_f32(x);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    return vbslq_u32(vceqq_f32(x, x), rounded, vorrq_u32(bits, vdupq_n_u32(0x400000)));
}

void narrow_bf16_neon(uint32_t *out, const float *x, size_t depth) {
    size_t i = 0;
    for (; i + 8 <= depth; i += 8, out += 4) {
        const uint16x4_t low = vshrn_n_u32(upper_bf16_4(vld1q_f32(x + i)), 16);
        vst1q_u32(out, vreinterpretq_u32_u16(vshrn_high_n_u32(low, upper_bf16_4(vld1q_f32(x + i + 4)), 16)));
    }
    narrow_bf16_scalar(out, x + i, depth - i);
}

void narrow_panel_bf16_neon(uint32_t *out, const float *in, size_t depth) {
    for (size_t k = 0; k < depth; k += 2, in += 2 * PANEL)
        for (size_t j = 0; j < PANEL; j += 4, out += 4) {
            const uint32x4_t low = upper_bf16_4(vld1q_f32(in + j));
            const uint32x4_t high = k + 1 < depth ? upper_bf16_4(vld1q_f32(in + PANEL + j)) : vdupq_n_u32(0);
            vst1q_u32(out, vsriq_n_u32(high, low, 16)); /* the lower half becomes low's upper one */
        }
}

static inline float32x4_t taken_4(const float *x, const float *factors, size_t i, size_t count) {
    const float32x4_t values = load_up_to_4(x + i, count);
    return factors ? vmulq_f32(values, load_up_to_4(factors + i, count)) : values;
}

static inline int32x4_t whole_4(const float *x, const float *factors, size_t i, size_t count, float factor) {
    return vcvtnq_s32_f32(vmulq_n_f32(taken_4(x, factors, i, count), factor)); /* rounds to even */
}

float quantize_int8_neon(uint32_t *out, const float *x, const float *factors, size_t depth) {
    /* The bits of an absolute value rise with the value; infinities and NaN have the largest bits. */
    uint32x4_t most[4];
    for (size_t j = 0; j < 4; j++) most[j] = vdupq_n_u32(0);
    for (size_t i = 0; i < depth; i += 16)
        for (size_t j = 0; j < 4 && i + 4 * j < depth; j++) {
            const size_t at = i + 4 * j;
            const float32x4_t size = vabsq_f32(taken_4(x, factors, at, depth - at));
            most[j] = vmaxq_u32(most[j], vreinterpretq_u32_f32(size));
        }
    const uint32_t bits = vmaxvq_u32(vmaxq_u32(vmaxq_u32(most[0], most[1]), vmaxq_u32(most[2], most[3])));
    if (bits >= 0x7f800000) {
        memset(out, 128, round_up(depth, 4));
        return NAN;
    }
    float largest;
    memcpy(&largest, &bits, sizeof largest);
    const float factor = largest > 1e-35f ? 127 / largest : 0;
    const int8x16_t middle = vdupq_n_s8(-128);
    size_t i = 0;
    for (; i + 16 <= depth; i += 16, out += 4) {
        int16x8_t q[2];
        for (size_t j = 0; j < 2; j++)
            q[j] = vcombine_s16(vmovn_s32(whole_4(x, factors, i + 8 * j, 4, factor)),
                                vmovn_s32(whole_4(x, factors, i + 8 * j + 4, 4, factor)));
        const int8x16_t bytes = vcombine_s8(vmovn_s16(q[0]), vmovn_s16(q[1]));
        vst1q_u32(out, vreinterpretq_u32_s8(veorq_s8(bytes, middle)));
    }
    for (; i < depth; i += 4, out++) {
        const int16x4_t q = vmovn_s32(whole_4(x, factors, i, depth - i, factor));
        const int8x8_t bytes = veor_s8(vmovn_s16(vcombine_s16(q, q)), vget_low_s8(middle));
        vst1_lane_u32(out, vreinterpret_u32_s8(bytes), 0);
    }
    return largest / 127;
}
