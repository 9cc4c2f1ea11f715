/* Activations, reference variant: the formulas of activation.h, computed with libm. */
#include "kernels/activation.h"
#include "kernels/math_scalar.h"

static float clip(float x, float least, float most) {
    return x < least ? least : x > most ? most : x;
}

static float gelu(float x) {
    return 0.5f * x * (1.0f + erff(x * 0.707106781f));
}

static float activate_one(float x, activation act) {
    float r;
    switch (act) {
    case ACTIVATION_GELU: return gelu(x);
    case ACTIVATION_GELU_TANH: return 0.5f * x * (1.0f + tanhf(0.797884561f * (x + 0.044715f * x * x * x)));
    case ACTIVATION_QUICK_GELU: return x * sigmoid(1.702f * x);
    case ACTIVATION_RELU: return x < 0 ? 0 : x;
    case ACTIVATION_SILU: return x * sigmoid(x);
    case ACTIVATION_TANH: return tanhf(x);
    case ACTIVATION_SIGMOID: return sigmoid(x);
    case ACTIVATION_LEAKY_RELU: return x < 0 ? 0.01f * x : x;
    case ACTIVATION_RELU6: return clip(x, 0, 6);
    case ACTIVATION_RELU_SQUARED: r = x < 0 ? 0 : x; return r * r;
    case ACTIVATION_HARD_SWISH: return x * (clip(x + 3.0f, 0, 6) / 6.0f);
    case ACTIVATION_MISH: return x * tanhf(softplus(x));
    case ACTIVATION_ROOT_SOFTPLUS: return sqrtf(softplus(x));
    case ACTIVATION_LAPLACE: return 0.5f * (1.0f + erff(laplace_argument(x)));
    case ACTIVATION_GELU_CLIPPED: return clip(gelu(x), -10, 10);
    case ACTIVATION_NONE:
    case ACTIVATION_COUNT: break;
    }
    return x;
}

void activate_f32_scalar(float *x, size_t count, activation act) {
    for (size_t i = 0; i < count; i++) x[i] = activate_one(x[i], act);
}
