/* Activations, reference variant: the formulas of activation.h, computed with libm. */
#include <math.h>

#include "kernels/activation.h"

static float sigmoid(float x) {
    return 1.0f / (1.0f + expf(-x));
}

static float activate_one(float x, activation act) {
    switch (act) {
    case ACTIVATION_GELU: return 0.5f * x * (1.0f + erff(x * 0.707106781f));
    case ACTIVATION_GELU_TANH: return 0.5f * x * (1.0f + tanhf(0.797884561f * (x + 0.044715f * x * x * x)));
    case ACTIVATION_QUICK_GELU: return x * sigmoid(1.702f * x);
    case ACTIVATION_RELU: return x < 0 ? 0 : x;
    case ACTIVATION_SILU: return x * sigmoid(x);
    case ACTIVATION_TANH: return tanhf(x);
    case ACTIVATION_NONE:
    case ACTIVATION_COUNT: break;
    }
    return x;
}

void activate_f32_scalar(float *x, size_t count, activation act) {
    for (size_t i = 0; i < count; i++) x[i] = activate_one(x[i], act);
}
