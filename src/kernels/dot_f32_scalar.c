/* Dot product, reference variant. */
#include "kernels/dot.h"

float dot_f32_scalar(const float *a, const float *b, size_t count) {
    float sums[16] = {0}, sum = 0;
    for (size_t i = 0; i < count; i++) sums[i % 16] += a[i] * b[i];
    for (size_t i = 0; i < 16; i++) sum += sums[i];
    return sum;
}
