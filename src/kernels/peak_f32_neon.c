/* The peak of NEON: a loop of independent fused multiply-adds. */
#include <arm_neon.h>

#include "kernels/table.h"

double peak_f32_neon(size_t iterations) {
    float32x4_t sum[16], x = vdupq_n_f32(1.0f), y = vdupq_n_f32(1e-9f);
    for (int i = 0; i < 16; i++) sum[i] = vdupq_n_f32((float)i);
    for (size_t n = 0; n < iterations; n++) {
        __asm__ volatile("" : "+w"(x), "+w"(y));
        for (int i = 0; i < 16; i++) sum[i] = vfmaq_f32(y, sum[i], x);
    }
    for (int i = 1; i < 16; i++) sum[0] = vaddq_f32(sum[0], sum[i]);
    __asm__ volatile("" : : "w"(sum[0]));
    return (double)iterations * 16 * 4 * 2;
}
