/* Softmax, reference variant. */
#include <math.h>

#include "kernels/softmax.h"

void softmax_f32_scalar(float *x, size_t count) {
    if (count == 0) return;
    float max = x[0];
    for (size_t i = 1; i < count; i++)
        if (x[i] > max) max = x[i];
    float sum = 0;
    for (size_t i = 0; i < count; i++) {
        x[i] = expf(x[i] - max);
        sum += x[i];
    }
    float inverse = 1.0f / sum;
    for (size_t i = 0; i < count; i++) x[i] *= inverse;
}

void exp_f32_scalar(float *x, size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = expf(x[i]);
}
