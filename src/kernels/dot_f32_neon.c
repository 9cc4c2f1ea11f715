/* Dot product, NEON. */
#include "kernels/dot.h"
#include "kernels/math_neon.h"

float dot_f32_neon(const float *a, const float *b, size_t count) {
    float32x4_t sum[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    size_t i = 0;
    for (; i + 16 <= count; i += 16)
        for (size_t j = 0; j < 4; j++) sum[j] = vfmaq_f32(sum[j], vld1q_f32(a + i + 4 * j), vld1q_f32(b + i + 4 * j));
    for (; i + 4 <= count; i += 4) sum[0] = vfmaq_f32(sum[0], vld1q_f32(a + i), vld1q_f32(b + i));
    if (i < count) sum[0] = vfmaq_f32(sum[0], load_part_4(a + i, count - i, 0), load_part_4(b + i, count - i, 0));
    return vaddvq_f32(vaddq_f32(vaddq_f32(sum[0], sum[1]), vaddq_f32(sum[2], sum[3])));
}
