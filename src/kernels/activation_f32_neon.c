/* Activations, NEON. */
#include "kernels/math_neon.h"

void activate_f32_neon(float *x, size_t count, activation act) {
    size_t i = 0;
    if (act >= ACTIVATION_RARE) {
        activate_f32_scalar(x, count, act);
        return;
    }
    for (; i + 4 <= count; i += 4) vst1q_f32(x + i, activate_4(vld1q_f32(x + i), act));
    if (i < count) store_part_4(x + i, activate_4(load_part_4(x + i, count - i, 0), act), count - i);
}
