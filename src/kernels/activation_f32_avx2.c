/* Activations, AVX2. */
#include "kernels/math_avx2.h"

void activate_f32_avx2(float *x, size_t count, activation act) {
    size_t i = 0;
    if (act >= ACTIVATION_RARE) {
        activate_f32_scalar(x, count, act);
        return;
    }
    for (; i + 8 <= count; i += 8) _mm256_storeu_ps(x + i, activate_8(_mm256_loadu_ps(x + i), act));
    if (i < count) {
        __m256i mask = lanes_8(count - i);
        _mm256_maskstore_ps(x + i, mask, activate_8(_mm256_maskload_ps(x + i, mask), act));
    }
}
