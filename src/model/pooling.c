/* Pooling. */
#include "model/pooling.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"

static const struct {
    unsigned mode;
    const char *name;
} modes[] = {{POOL_CLS, "cls"},
             {POOL_MAX, "max"},
             {POOL_MEAN, "mean"},
             {POOL_MEAN_SQRT, "mean_sqrt_len"},
             {POOL_WEIGHTED_MEAN, "weightedmean"},
             {POOL_LAST, "lasttoken"}};

enum { MODE_COUNT = sizeof modes / sizeof modes[0] };

void pooling_name(const pooling *self, char *out, size_t bytes) {
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < MODE_COUNT && at < bytes; i++)
        if (self->modes & modes[i].mode)
            at += (size_t)snprintf(out + at, bytes - at, "%s%s", at ? "+" : "", modes[i].name);
}

/* One mode over rows [first, last) of which [skip_first, skip_last) do not count. */
static void pool(unsigned mode, tensor x, size_t first, size_t last, size_t skip_first, size_t skip_last, float *out) {
    size_t width = x.columns;
    const float *top = x.data + first * x.stride;
    if (mode == POOL_CLS || mode == POOL_LAST) {
        memcpy(out, mode == POOL_CLS ? top : x.data + (last - 1) * x.stride, width * sizeof(float));
        return;
    }
    float total = 0;
    for (size_t j = 0; j < width; j++) out[j] = mode == POOL_MAX ? -INFINITY : 0;
    for (size_t row = first; row < last; row++) {
        if (row >= skip_first && row < skip_last) continue;
        const float *from = x.data + row * x.stride;
        float weight = mode == POOL_WEIGHTED_MEAN ? (float)(row - first + 1) : 1;
        total += weight;
        if (mode == POOL_MAX)
            for (size_t j = 0; j < width; j++) out[j] = from[j] > out[j] ? from[j] : out[j];
        else
            for (size_t j = 0; j < width; j++) out[j] += weight * from[j];
    }
    if (mode == POOL_MAX) return;
    float divisor = fmaxf(mode == POOL_MEAN_SQRT ? sqrtf(total) : total, 1e-9f);
    for (size_t j = 0; j < width; j++) out[j] /= divisor;
}

bool pooling_forward(const pooling *self, const run *on, tensor x, const batch *input, const size_t *prompt_rows,
                     float *out) {
    size_t count = 0;
    for (size_t i = 0; i < MODE_COUNT; i++) count += (self->modes & modes[i].mode) != 0;
    arena_mark mark = arena_save(on->memory);
    tensor rows = run_tensor(on, input->sequences, count * x.columns);
    if (!rows.data) return false;
    for (size_t s = 0; s < input->sequences; s++) {
        float *at = rows.data + s * rows.stride;
        size_t first = input->start[s], last = input->start[s + 1];
        size_t skip = self->skip_prompt && prompt_rows ? size_min(prompt_rows[s], last - first) : 0;
        for (size_t i = 0; i < MODE_COUNT; i++) {
            if (!(self->modes & modes[i].mode)) continue;
            /* the prompt is masked from the beginning on, [CLS] with it */
            pool(modes[i].mode, x, first, last, first, first + skip, at);
            at += x.columns;
        }
    }
    for (size_t i = 0; i < self->stage_count; i++) {
        const pooling_stage *stage = &self->stages[i];
        if (stage->kind == STAGE_DENSE) {
            tensor next = run_tensor(on, rows.rows, stage->dense.out);
            if (!next.data) return false;
            run_linear(on, next, rows, &stage->dense, stage->act, NULL);
            rows = next;
        } else if (stage->kind == STAGE_LAYER_NORM) {
            run_layer_norm(on, rows, rows, &stage->norm);
        } else {
            for (size_t s = 0; s < rows.rows; s++) {
                float *row = rows.data + s * rows.stride;
                float squares = on->kernels->dot_f32(row, row, rows.columns);
                float inverse = 1.0f / fmaxf(sqrtf(squares), 1e-12f);
                for (size_t j = 0; j < rows.columns; j++) row[j] *= inverse;
            }
        }
    }
    for (size_t s = 0; s < rows.rows; s++)
        memcpy(out + s * self->width, rows.data + s * rows.stride, self->width * sizeof(float));
    arena_rewind(on->memory, mark);
    return true;
}
