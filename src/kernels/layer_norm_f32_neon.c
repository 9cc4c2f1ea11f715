/* Layer normalisation, NEON. */
#include <math.h>

#include "kernels/layer_norm.h"
#include "kernels/math_neon.h"

void layer_norm_f32_neon(float *out, const float *x, const float *gamma, const float *beta, float epsilon,
                         size_t count) {
    if (count == 0) return;
    size_t whole = count / 4 * 4, rest = count - whole;
    float32x4_t sum = load_part_4(x + whole, rest, 0), zero = vdupq_n_f32(0);
    for (size_t i = 0; i < whole; i += 4) sum = vaddq_f32(sum, vld1q_f32(x + i));
    float mean = vaddvq_f32(sum) / (float)count;
    float32x4_t middle = vdupq_n_f32(mean), last = vsubq_f32(load_part_4(x + whole, rest, mean), middle);
    float32x4_t squares = vmulq_f32(last, last);
    for (size_t i = 0; i < whole; i += 4) {
        float32x4_t d = vsubq_f32(vld1q_f32(x + i), middle);
        squares = vfmaq_f32(squares, d, d);
    }
    float32x4_t inverse = vdupq_n_f32(1.0f / sqrtf(vaddvq_f32(squares) / (float)count + epsilon));
    for (size_t i = 0; i < whole; i += 4) {
        float32x4_t d = vmulq_f32(vsubq_f32(vld1q_f32(x + i), middle), inverse);
        vst1q_f32(out + i, vfmaq_f32(beta ? vld1q_f32(beta + i) : zero, d, vld1q_f32(gamma + i)));
    }
    if (!rest) return;
    float32x4_t shift = beta ? load_part_4(beta + whole, rest, 0) : zero;
    store_part_4(out + whole, vfmaq_f32(shift, vmulq_f32(last, inverse), load_part_4(gamma + whole, rest, 0)), rest);
}
