/* The gradient kernels of every instruction set of this machine against the scalar variant, and the scalar variant
 * against double where the formula is not a copy of the loop: odd sizes, unaligned starts, bytes around the output. */
#define _GNU_SOURCE
#include <cmocka_compat.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "isas.h"

enum { MOST = 131, GUARD = 16 };

static uint64_t state = 11;

typedef struct guarded {
    float block[MOST + 2 * GUARD + 16];
    float *data;
} guarded;

static void fill(guarded *g, size_t count) {
    for (size_t i = 0; i < sizeof g->block / sizeof *g->block; i++) g->block[i] = 777;
    g->data = g->block + GUARD + random_below(&state, 16);
    for (size_t i = 0; i < count; i++) g->data[i] = (float)random_normal(&state);
}

static void copy(guarded *to, const guarded *from) {
    memcpy(to->block, from->block, sizeof to->block);
    to->data = to->block + (from->data - from->block);
}

static void same(const char *kernel, const char *isa, const guarded *got, const guarded *want, size_t count,
                 double tolerance) {
    for (size_t i = 0; i < sizeof got->block / sizeof *got->block; i++) {
        size_t place = (size_t)(got->data - got->block);
        bool inside = i >= place && i < place + count;
        double a = (double)got->block[i], b = (double)want->block[i];
        if (inside ? !(fabs(a - b) <= tolerance * fmax(1, fabs(b))) : a != b)
            fail_msg("%s %s, count %zu, element %ld: %.9g, should be %.9g", kernel, isa, count, (long)(i - place), a,
                     b);
    }
}

/* Runs `one` for each variant with the same inputs, at every count. */
static void for_variants(void (*one)(const gradient_kernels *g, const char *isa, size_t count)) {
    for (size_t isa = 0; isa < ISA_COUNT; isa++) {
        const kernel_table *table = isa_kernels(isa);
        for (size_t count = 0; table && count < MOST; count += 1 + count / 30) one(table->gradient, table->name, count);
    }
}

static void elementwise(const gradient_kernels *g, const char *isa, size_t count) {
    const gradient_kernels *reference = &gradient_f32_scalar;
    guarded x, y, mine, want;
    fill(&x, count);
    fill(&y, count);
    copy(&mine, &y);
    copy(&want, &y);
    g->add(mine.data, x.data, count);
    for (size_t i = 0; i < count; i++) want.data[i] += x.data[i];
    same("add", isa, &mine, &want, count, 0);

    g->add_scaled(mine.data, x.data, 0.3f, count);
    for (size_t i = 0; i < count; i++) want.data[i] += 0.3f * x.data[i];
    same("add_scaled", isa, &mine, &want, count, 1e-6);

    copy(&mine, &y);
    copy(&want, &y);
    g->dropout(mine.data, count, 0x123456789abcdefull, 1000, 1u << 30, 4.0f / 3);
    reference->dropout(want.data, count, 0x123456789abcdefull, 1000, 1u << 30, 4.0f / 3);
    same("dropout", isa, &mine, &want, count, 0);

    float statistics[2], reference_statistics[2];
    guarded gamma;
    fill(&gamma, count);
    copy(&mine, &y);
    copy(&want, &y);
    g->layer_norm_backward(mine.data, gamma.data, x.data, y.data, 1e-5f, count, statistics);
    reference->layer_norm_backward(want.data, gamma.data, x.data, y.data, 1e-5f, count, reference_statistics);
    same("layer_norm_backward", isa, &mine, &want, count, 1e-5 * (count < 3 ? 300 : 1));
    if (count) {
        guarded beta, want_beta;
        fill(&beta, count);
        copy(&want_beta, &beta);
        copy(&mine, &y);
        copy(&want, &y);
        g->norm_parameters_backward(mine.data, beta.data, x.data, gamma.data, reference_statistics, count);
        reference->norm_parameters_backward(want.data, want_beta.data, x.data, gamma.data, reference_statistics, count);
        same("norm_parameters_backward", isa, &mine, &want, count, 1e-6 * fmax(1, (double)reference_statistics[1]));
        same("norm_parameters_backward", isa, &beta, &want_beta, count, 1e-6);
    }

    copy(&mine, &y);
    copy(&want, &y);
    g->softmax_backward(mine.data, x.data, 0.3f, count);
    reference->softmax_backward(want.data, x.data, 0.3f, count);
    same("softmax_backward", isa, &mine, &want, count, 1e-4);

    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)x.data[i] * (double)x.data[i];
    assert_true(fabs(g->squares(x.data, count) - sum) <= 1e-12 * fmax(1, sum));
}

static void adam(const gradient_kernels *g, const char *isa, size_t count) {
    adam_step step = {.rate = 1e-2f,
                      .decay = 0.1f,
                      .beta1 = 0.9f,
                      .beta2 = 0.999f,
                      .epsilon = 1e-8f,
                      .correction1 = 0.19f,
                      .correction2 = 0.0447f,
                      .gradient_scale = 0.5f};
    guarded value, gradient, m, v, want;
    fill(&value, count);
    fill(&gradient, count);
    fill(&m, count);
    fill(&v, count);
    for (size_t i = 0; i < count; i++) v.data[i] = fabsf(v.data[i]);
    copy(&want, &value);
    for (size_t i = 0; i < count; i++) {
        double scaled = (double)gradient.data[i] * 0.5;
        double new_m = 0.9 * (double)m.data[i] + 0.1 * scaled,
               new_v = 0.999 * (double)v.data[i] + 0.001 * scaled * scaled;
        double change = 1e-2 * (new_m / 0.19) / (sqrt(new_v) / 0.0447 + 1e-8);
        want.data[i] = (float)((double)value.data[i] * (1 - 1e-3) - change);
    }
    g->adam(value.data, gradient.data, m.data, v.data, count, &step);
    same("adam", isa, &value, &want, count, 1e-5);
    for (size_t i = 0; i < count; i++) assert_true(gradient.data[i] == 0);
}

static double softplus(double x) {
    return x > 40 ? x : log1p(exp(x));
}

static double gelu_slope(double x) {
    return 0.5 * (1 + erf(x * M_SQRT1_2)) + x * exp(-x * x / 2) / sqrt(2 * M_PI);
}

static double slope(double x, activation act) {
    double s;
    switch (act) {
    case ACTIVATION_GELU: return gelu_slope(x);
    case ACTIVATION_GELU_TANH: {
        double c = sqrt(2 / M_PI), t = tanh(c * (x + 0.044715 * x * x * x));
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x);
    }
    case ACTIVATION_QUICK_GELU: s = 1 / (1 + exp(-1.702 * x)); return s + 1.702 * x * s * (1 - s);
    case ACTIVATION_RELU: return x > 0;
    case ACTIVATION_SILU: s = 1 / (1 + exp(-x)); return s + x * s * (1 - s);
    case ACTIVATION_TANH: return 1 - tanh(x) * tanh(x);
    case ACTIVATION_SIGMOID: s = 1 / (1 + exp(-x)); return s * (1 - s);
    case ACTIVATION_LEAKY_RELU: return x > 0 ? 1 : 0.01;
    case ACTIVATION_RELU6: return x > 0 && x < 6;
    case ACTIVATION_RELU_SQUARED: return x > 0 ? 2 * x : 0;
    case ACTIVATION_HARD_SWISH: return x < -3 ? 0 : x > 3 ? 1 : (2 * x + 3) / 6;
    case ACTIVATION_MISH: s = tanh(softplus(x)); return s + x * (1 - s * s) / (1 + exp(-x));
    case ACTIVATION_ROOT_SOFTPLUS: return 0.5 / (1 + exp(-x)) / sqrt(softplus(x));
    case ACTIVATION_LAPLACE: {
        double z = (x - 0.707107) / (0.282095 * sqrt(2));
        return exp(-z * z) / (sqrt(M_PI) * 0.282095 * sqrt(2));
    }
    case ACTIVATION_GELU_CLIPPED: return x > 10 ? 0 : gelu_slope(x);
    default: return 1;
    }
}

static void activations(const gradient_kernels *g, const char *isa, size_t count) {
    for (int act = 0; act < ACTIVATION_COUNT; act++) {
        guarded x, dy, mine, want;
        fill(&x, count);
        fill(&dy, count);
        for (size_t i = 0; i < count; i++) x.data[i] *= i % 5 == 4 ? 20.0f : 2.0f;
        fill(&mine, count);
        copy(&want, &mine);
        for (size_t i = 0; i < count; i++)
            want.data[i] =
                (float)((double)want.data[i] + (double)dy.data[i] * slope((double)x.data[i], (activation)act));
        g->activate_backward(mine.data, dy.data, x.data, count, (activation)act);
        same("activate_backward", isa, &mine, &want, count, 3e-6);
    }
}

static void transposes(const gradient_kernels *g, const char *isa, size_t count) {
    enum { STRIDE = 140 };
    static float in[MOST * STRIDE], out[MOST * STRIDE];
    size_t columns = 1 + random_below(&state, MOST - 1);
    for (size_t i = 0; i < MOST * STRIDE; i++) {
        in[i] = (float)i;
        out[i] = -1;
    }
    g->transpose(out, STRIDE, in + 1, STRIDE, count, columns);
    for (size_t j = 0; j < MOST; j++)
        for (size_t i = 0; i < STRIDE; i++) {
            float want = j < columns && i < count ? in[1 + i * STRIDE + j] : -1;
            if (out[j * STRIDE + i] != want) fail_msg("transpose %s, %zu rows, %zu columns", isa, count, columns);
        }
}

static void test_elementwise(void **unused) {
    (void)unused;
    for_variants(elementwise);
}

static void test_adam(void **unused) {
    (void)unused;
    for_variants(adam);
}

static void test_activations(void **unused) {
    (void)unused;
    for_variants(activations);
}

static void test_transposes(void **unused) {
    (void)unused;
    for_variants(transposes);
}

/* Dropout drops its share, and different keys and places draw differently. */
static void test_dropout_share(void **unused) {
    (void)unused;
    enum { COUNT = 1 << 16 };
    static float a[COUNT], b[COUNT];
    size_t dropped = 0, both = 0;
    for (size_t i = 0; i < COUNT; i++) a[i] = b[i] = 1;
    gradient_f32_scalar.dropout(a, COUNT, 1, 0, (uint32_t)(0.1 * 4294967296.0), 1);
    gradient_f32_scalar.dropout(b, COUNT, 2, 0, (uint32_t)(0.1 * 4294967296.0), 1);
    for (size_t i = 0; i < COUNT; i++) {
        dropped += a[i] == 0;
        both += a[i] == 0 && b[i] == 0;
    }
    assert_true(fabs((double)dropped / COUNT - 0.1) < 0.006);
    assert_true(fabs((double)both / COUNT - 0.01) < 0.002);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_elementwise), cmocka_unit_test(test_adam),
                                       cmocka_unit_test(test_activations), cmocka_unit_test(test_transposes),
                                       cmocka_unit_test(test_dropout_share)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
