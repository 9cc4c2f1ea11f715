/* The gradient kernels as plain loops. The compiler makes vector code of them, by the flags of the including file. That
 * file defines GRADIENT_TABLE, own_activate_backward and own_transpose. Sums have sixteen interleaved parts, so that
 * the compiler can vectorise them without reordering. */
#include <math.h>
#include <string.h>

#include "kernels/gradient.h"

enum { LANES = 16 };

static float sum_lanes(const float *lanes) {
    float sum = 0;
    for (int j = 0; j < LANES; j++) sum += lanes[j];
    return sum;
}

static void add(float *restrict y, const float *restrict x, size_t count) {
    for (size_t i = 0; i < count; i++) y[i] += x[i];
}

static void add_scaled(float *restrict y, const float *restrict x, float factor, size_t count) {
    for (size_t i = 0; i < count; i++) y[i] += factor * x[i];
}

/* A 32-bit mixer with low bias (C. Wellons, "Prospecting for hash functions", 2018), applied twice with the key
 * between. */
static inline uint32_t mix32(uint32_t x) {
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}

static void dropout(float *x, size_t count, uint64_t key, uint32_t first, uint32_t threshold, float scale) {
    uint32_t low = (uint32_t)key, high = (uint32_t)(key >> 32);
    for (size_t i = 0; i < count; i++) {
        uint32_t draw = mix32(mix32((first + (uint32_t)i) ^ low) + high);
        x[i] = draw < threshold ? 0.0f : x[i] * scale;
    }
}

static void layer_norm_backward(float *restrict dx, const float *restrict dy, const float *restrict x,
                                const float *restrict gamma, float epsilon, size_t count, float statistics[2]) {
    if (count == 0) return;
    float sums[LANES] = {0}, squares[LANES] = {0}, direct[LANES] = {0}, along[LANES] = {0};
    size_t whole = count / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t j = 0; j < LANES; j++) sums[j] += x[i + j];
    for (size_t i = whole; i < count; i++) sums[0] += x[i];
    float mean = sum_lanes(sums) / (float)count;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            float d = x[i + j] - mean, g = dy[i + j] * gamma[i + j];
            squares[j] += d * d;
            direct[j] += g;
            along[j] += g * d;
        }
    for (size_t i = whole; i < count; i++) {
        float d = x[i] - mean, g = dy[i] * gamma[i];
        squares[0] += d * d;
        direct[0] += g;
        along[0] += g * d;
    }
    float inverse = 1.0f / sqrtf(sum_lanes(squares) / (float)count + epsilon);
    float shift = sum_lanes(direct) / (float)count;
    float slope = sum_lanes(along) / (float)count * inverse * inverse;
    for (size_t i = 0; i < count; i++) dx[i] += inverse * (dy[i] * gamma[i] - shift - (x[i] - mean) * slope);
    statistics[0] = mean;
    statistics[1] = inverse;
}

static void norm_parameters_backward(float *restrict dgamma, float *restrict dbeta, const float *restrict dy,
                                     const float *restrict x, const float statistics[2], size_t count) {
    float mean = statistics[0], inverse = statistics[1];
    for (size_t i = 0; i < count; i++) dgamma[i] += dy[i] * (x[i] - mean) * inverse;
    if (dbeta) add(dbeta, dy, count);
}

static void softmax_backward(float *restrict d, const float *restrict p, float scale, size_t count) {
    float sums[LANES] = {0};
    size_t whole = count / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t j = 0; j < LANES; j++) sums[j] += p[i + j] * d[i + j];
    for (size_t i = whole; i < count; i++) sums[0] += p[i] * d[i];
    float mean = sum_lanes(sums);
    for (size_t i = 0; i < count; i++) d[i] = p[i] * (d[i] - mean) * scale;
}

static double squares(const float *x, size_t count) {
    double sums[LANES] = {0}, sum = 0;
    size_t whole = count / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t j = 0; j < LANES; j++) sums[j] += (double)x[i + j] * (double)x[i + j];
    for (size_t i = whole; i < count; i++) sums[0] += (double)x[i] * (double)x[i];
    for (int j = 0; j < LANES; j++) sum += sums[j];
    return sum;
}

static void adam(float *restrict value, float *restrict gradient, float *restrict m, float *restrict v, size_t count,
                 const adam_step *step) {
    const float keep = 1.0f - step->rate * step->decay, beta1 = step->beta1, beta2 = step->beta2;
    const float size = step->rate / step->correction1, inverse2 = 1.0f / step->correction2,
                scale = step->gradient_scale;
    const float epsilon = step->epsilon;
    for (size_t i = 0; i < count; i++) {
        float g = gradient[i] * scale;
        m[i] = beta1 * m[i] + (1.0f - beta1) * g;
        v[i] = beta2 * v[i] + (1.0f - beta2) * g * g;
        value[i] = value[i] * keep - size * m[i] / (sqrtf(v[i]) * inverse2 + epsilon);
        gradient[i] = 0;
    }
}

const gradient_kernels GRADIENT_TABLE = {add,
                                         add_scaled,
                                         own_transpose,
                                         dropout,
                                         own_activate_backward,
                                         layer_norm_backward,
                                         norm_parameters_backward,
                                         softmax_backward,
                                         squares,
                                         adam};
