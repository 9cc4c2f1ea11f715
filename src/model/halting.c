/* Adaptive computation time (Graves 2016): the mean of a subject's states, weighted by its probabilities to halt. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "model/exits.h"
#include "tensor/tape.h"

typedef struct saved_halting {
    tensor out;
    exit_memory memory;
    float epsilon, cost; /* cost: tau times the loss's scale */
} saved_halting;

static float sigmoid(float x) {
    return 1.0f / (1.0f + expf(-x));
}

/* The weights of one subject's layers; returns N, the number of layers until it halts. */
static size_t weights_of(const exit_memory *memory, size_t subject, float epsilon, float *w) {
    float sum = 0;
    for (size_t i = 0; i < memory->count; i++) {
        float a = sigmoid(tensor_row(memory->signals[i], subject)[0]);
        if (i + 1 == memory->count || sum + a >= 1 - epsilon) {
            w[i] = 1 - sum;
            return i + 1;
        }
        w[i] = a;
        sum += a;
    }
    return 0;
}

/* With R = 1 - sum of a_i below N: d out = sum_{i<N} da_i (state_i - state_N), d ponder = -sum_{i<N} da_i. */
static void halting_backward(const run *on, void *saved) {
    const saved_halting *s = saved;
    float w[POINT_LAYERS];
    for (size_t row = 0; row < s->out.rows; row++) {
        const float *dy = s->out.grad + row * s->out.stride;
        size_t n = weights_of(&s->memory, row, s->epsilon, w), columns = s->out.columns;
        if (n == 0) continue;
        float last = on->kernels->dot_f32(dy, tensor_row(s->memory.states[n - 1], row), columns);
        for (size_t i = 0; i < n; i++) {
            tensor x = s->memory.states[i], z = s->memory.signals[i];
            for (size_t j = 0; j < columns; j++) x.grad[row * x.stride + j] += w[i] * dy[j];
            if (i + 1 == n) break;
            float slope = on->kernels->dot_f32(dy, tensor_row(x, row), columns) - last - s->cost;
            z.grad[row * z.stride] += slope * w[i] * (1 - w[i]);
        }
    }
}

tensor halting_mean(const run *on, const exit_memory *memory, float epsilon, float tau, double scale, double *ponder) {
    size_t subjects = memory->count ? memory->states[0].rows : 0;
    tensor out = run_tensor(on, subjects, memory->count ? memory->states[0].columns : 0);
    *ponder = 0;
    if (run_failed(on) || memory->count == 0) return out;
    float w[POINT_LAYERS];
    for (size_t row = 0; row < subjects; row++) {
        float *y = tensor_row(out, row);
        size_t n = weights_of(memory, row, epsilon, w);
        memset(y, 0, out.columns * sizeof *y);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < out.columns; j++) y[j] += w[i] * tensor_row(memory->states[i], row)[j];
        *ponder += (double)n + (double)w[n - 1];
    }
    if (!on->tape) return out;
    saved_halting *saved = tape_push(on, halting_backward, sizeof *saved);
    if (saved) *saved = (saved_halting){out, *memory, epsilon, tau * (float)scale};
    return out;
}
