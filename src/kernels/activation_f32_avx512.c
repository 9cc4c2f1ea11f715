/* Activations, AVX-512. */
#include "kernels/math_avx512.h"

void activate_f32_avx512(float *x, size_t count, activation act) {
    size_t i = 0;
    if (act >= ACTIVATION_RARE) {
        activate_f32_scalar(x, count, act);
        return;
    }
    for (; i + 16 <= count; i += 16) _mm512_storeu_ps(x + i, activate_16(_mm512_loadu_ps(x + i), act));
    if (i < count) {
        __mmask16 mask = lanes_16(count - i);
        _mm512_mask_storeu_ps(x + i, mask, activate_16(_mm512_maskz_loadu_ps(mask, x + i), act));
    }
}
