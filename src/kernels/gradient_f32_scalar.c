/* Gradient kernels, reference variant. */
#include "kernels/gradient.h"
#include "kernels/math_scalar.h"

/* y = x s(k(x)) with s the logistic function: y' = s + x s (1 - s) k'. */
static float gated_slope(float x, float k, float dk) {
    float s = sigmoid(k);
    return s + x * s * (1.0f - s) * dk;
}

static float gelu_slope(float x) {
    return 0.5f * (1.0f + erff(x * 0.707106781f)) + x * 0.398942280f * expf(-0.5f * x * x);
}

static float slope(float x, activation act) {
    float y;
    switch (act) {
    case ACTIVATION_GELU: return gelu_slope(x);
    case ACTIVATION_GELU_TANH:
        return gated_slope(x, 1.59576912f * (x + 0.044715f * x * x * x), 1.59576912f * (1.0f + 0.134145f * x * x));
    case ACTIVATION_QUICK_GELU: return gated_slope(x, 1.702f * x, 1.702f);
    case ACTIVATION_RELU: return x > 0 ? 1.0f : 0.0f;
    case ACTIVATION_SILU: return gated_slope(x, x, 1.0f);
    case ACTIVATION_TANH: {
        float t = tanhf(x);
        return 1.0f - t * t;
    }
    case ACTIVATION_SIGMOID: y = sigmoid(x); return y * (1.0f - y);
    case ACTIVATION_LEAKY_RELU: return x > 0 ? 1.0f : 0.01f;
    case ACTIVATION_RELU6: return x > 0 && x < 6 ? 1.0f : 0.0f;
    case ACTIVATION_RELU_SQUARED: return x > 0 ? 2.0f * x : 0.0f;
    case ACTIVATION_HARD_SWISH: return x < -3 ? 0.0f : x <= 3 ? x / 3.0f + 0.5f : 1.0f;
    case ACTIVATION_MISH: y = tanhf(softplus(x)); return y + x * (1.0f - y * y) * sigmoid(x);
    case ACTIVATION_ROOT_SOFTPLUS: y = sqrtf(softplus(x)); return y > 0 ? 0.5f * sigmoid(x) / y : 0.0f;
    case ACTIVATION_LAPLACE: y = laplace_argument(x); return 0.564189584f * LAPLACE_STEEPNESS * expf(-y * y);
    case ACTIVATION_GELU_CLIPPED: /* below 10 gelu(x) is x there, and nothing is near -10 */
        return x <= 10 ? gelu_slope(x) : 0.0f;
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
