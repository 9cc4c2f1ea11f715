/* Layer normalisation, reference variant. */
#include <math.h>

#include "kernels/layer_norm.h"

void layer_norm_f32_scalar(float *out, const float *x, const float *gamma, const float *beta, float epsilon,
                           size_t count) {
    if (count == 0) return;
    float sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) sum += x[i];
    float mean = sum / (float)count;
    for (size_t i = 0; i < count; i++) squares += (x[i] - mean) * (x[i] - mean);
    float inverse = 1.0f / sqrtf(squares / (float)count + epsilon);
    for (size_t i = 0; i < count; i++) out[i] = (x[i] - mean) * inverse * gamma[i] + (beta ? beta[i] : 0);
}
