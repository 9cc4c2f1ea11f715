/* Softmax, NEON. */
#include <math.h>

#include "kernels/math_neon.h"
#include "kernels/softmax.h"

void softmax_f32_neon(float *x, size_t count) {
    if (count == 0) return;
    size_t whole = count / 4 * 4, rest = count - whole;
    float32x4_t max = load_part_4(x + whole, rest, -INFINITY);
    for (size_t i = 0; i < whole; i += 4) max = vmaxq_f32(max, vld1q_f32(x + i));
    float32x4_t top = vdupq_n_f32(vmaxvq_f32(max)), sum = vdupq_n_f32(0);
    for (size_t i = 0; i < whole; i += 4) {
        float32x4_t e = exp_4(vsubq_f32(vld1q_f32(x + i), top));
        vst1q_f32(x + i, e);
        sum = vaddq_f32(sum, e);
    }
    if (rest) {
        store_part_4(x + whole, exp_4(vsubq_f32(load_part_4(x + whole, rest, 0), top)), rest);
        sum = vaddq_f32(sum, load_part_4(x + whole, rest, 0));
    }
    float32x4_t inverse = vdupq_n_f32(1.0f / vaddvq_f32(sum));
    for (size_t i = 0; i < whole; i += 4) vst1q_f32(x + i, vmulq_f32(vld1q_f32(x + i), inverse));
    if (rest) store_part_4(x + whole, vmulq_f32(load_part_4(x + whole, rest, 0), inverse), rest);
}

void exp_f32_neon(float *x, size_t count) {
    const size_t whole = count / 4 * 4, rest = count - whole;
    for (size_t i = 0; i < whole; i += 4) vst1q_f32(x + i, exp_4(vld1q_f32(x + i)));
    if (rest) store_part_4(x + whole, exp_4(load_part_4(x + whole, rest, 0)), rest);
}
