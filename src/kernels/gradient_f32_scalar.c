/* Gradient kernels, reference variant. */
#include <math.h>

#include "kernels/gradient.h"

/* y = x s(k(x)) with s the logistic function: y' = s + x s (1 - s) k'. */
static float gated_slope(float x, float k, float dk) {
    float s = 1.0f / (1.0f + expf(-k));
    return s + x * s * (1.0f - s) * dk;
}

static float slope(float x, activation act) {
    switch (act) {
    case ACTIVATION_GELU: return 0.5f * (1.0f + erff(x * 0.707106781f)) + x * 0.398942280f * expf(-0.5f * x * x);
    case ACTIVATION_GELU_TANH:
        return gated_slope(x, 1.59576912f * (x + 0.044715f * x * x * x), 1.59576912f * (1.0f + 0.134145f * x * x));
    case ACTIVATION_QUICK_GELU: return gated_slope(x, 1.702f * x, 1.702f);
    case ACTIVATION_RELU: return x > 0 ? 1.0f : 0.0f;
    case ACTIVATION_SILU: return gated_slope(x, x, 1.0f);
    case ACTIVATION_TANH: {
        float t = tanhf(x);
        return 1.0f - t * t;
    }
    case ACTIVATION_NONE:
    case ACTIVATION_COUNT: break;
    }
    return 1.0f;
}

static void own_activate_backward(float *dx, const float *dy, const float *x, size_t count, activation act) {
    for (size_t i = 0; i < count; i++) dx[i] += dy[i] * slope(x[i], act);
}

static void own_transpose(float *out, size_t out_stride, const float *in, size_t in_stride, size_t rows,
                          size_t columns) {
    for (size_t j = 0; j < columns; j++)
        for (size_t i = 0; i < rows; i++) out[j * out_stride + i] = in[i * in_stride + j];
}

#define GRADIENT_TABLE gradient_f32_scalar
#include "kernels/gradient_loops.h"
