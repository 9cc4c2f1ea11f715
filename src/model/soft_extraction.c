/* Soft extraction. */
#include "model/soft_extraction.h"

#include "elastic/retire.h"
#include "tensor/tape.h"

typedef struct saved_softening {
    tensor out, x;
    const uint32_t *bins; /* [rows] */
    const float *factors;
    float *gradient;
} saved_softening;

static void soften_backward(const run *on, void *saved) {
    const saved_softening *s = saved;
    for (size_t row = 0; row < s->x.rows; row++) {
        const float *grad = s->out.grad + row * s->out.stride, *x = tensor_row(s->x, row);
        float factor = s->factors[s->bins[row]];
        s->gradient[s->bins[row]] += on->kernels->dot_f32(grad, x, s->x.columns);
        for (size_t j = 0; j < s->x.columns; j++) s->x.grad[row * s->x.stride + j] += factor * grad[j];
    }
}

tensor soften(const run *on, tensor x, const float *scores, const batch *packed, const soft_extraction *by,
              size_t number) {
    tensor out = run_tensor(on, x.rows, x.columns);
    uint32_t *bins = run_take(on, x.rows, sizeof *bins);
    uint64_t *scratch = run_take(on, x.rows, sizeof *scratch);
    if (run_failed(on)) return out;
    for (size_t i = 0; i < packed->sequences; i++) {
        size_t first = packed->start[i], length = batch_length(packed, i);
        retire_rank(scores + first, length, bins + first, scratch);
        for (size_t j = 0; j < length; j++) bins[first + j] = (uint32_t)(bins[first + j] * by->bins / length);
    }
    const float *factors = by->factors + number * by->bins;
    for (size_t row = 0; row < x.rows; row++)
        for (size_t j = 0; j < x.columns; j++) tensor_row(out, row)[j] = tensor_row(x, row)[j] * factors[bins[row]];
    if (on->tape) {
        saved_softening *saved = tape_push(on, soften_backward, sizeof *saved);
        if (saved) *saved = (saved_softening){out, x, bins, factors, by->gradient + number * by->bins};
    }
    return out;
}
