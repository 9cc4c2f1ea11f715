/* Pooling. */
#include "model/pooling.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "tensor/operations.h"
#include "tensor/tape.h"

static const char *const names[POOL_COUNT] = {"cls", "max", "mean", "mean_sqrt_len", "weightedmean", "lasttoken"};

bool pooling_has(const pooling *self, pooling_mode mode) {
    bool has = false;
    for (size_t i = 0; i < self->modes.count; i++) has = has || self->modes.list[i] == mode;
    return has;
}

void pooling_name(const pooling *self, char *out, size_t bytes) {
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < self->modes.count && at < bytes; i++)
        at += (size_t)snprintf(out + at, bytes - at, "%s%s", at ? "+" : "", names[self->modes.list[i]]);
}

/* One mode over rows [first, last), of which [skip_first, skip_last) do not count. */
static void pool(pooling_mode mode, tensor x, size_t first, size_t last, size_t skip_first, size_t skip_last,
                 float *out) {
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

/* ---- Derivatives ---- */

typedef struct saved_pooling {
    pooling_modes modes;
    tensor out, x;
    const size_t *start, *skip; /* of each sequence; skip NULL: none */
} saved_pooling;

static void pool_backward(pooling_mode mode, const saved_pooling *s, size_t sequence, const float *grad) {
    size_t first = s->start[sequence], last = s->start[sequence + 1], width = s->x.columns;
    size_t skip = s->skip ? s->skip[sequence] : 0;
    float total = 0;
    for (size_t row = first + skip; row < last; row++)
        total += mode == POOL_WEIGHTED_MEAN ? (float)(row - first + 1) : 1;
    float divisor = fmaxf(mode == POOL_MEAN_SQRT ? sqrtf(total) : total, 1e-9f);
    if (mode == POOL_CLS || mode == POOL_LAST) {
        float *to = s->x.grad + (mode == POOL_CLS ? first : last - 1) * s->x.stride;
        for (size_t j = 0; j < width; j++) to[j] += grad[j];
    } else if (mode == POOL_MAX) {
        for (size_t j = 0; j < width; j++) {
            size_t best = first + skip;
            for (size_t row = best; row < last; row++)
                if (tensor_row(s->x, row)[j] > tensor_row(s->x, best)[j]) best = row;
            if (best < last) s->x.grad[best * s->x.stride + j] += grad[j];
        }
    } else {
        for (size_t row = first + skip; row < last; row++) {
            float weight = (mode == POOL_WEIGHTED_MEAN ? (float)(row - first + 1) : 1) / divisor;
            for (size_t j = 0; j < width; j++) s->x.grad[row * s->x.stride + j] += weight * grad[j];
        }
    }
}

static void pooling_backward(const run *on, void *saved) {
    const saved_pooling *s = saved;
    (void)on;
    for (size_t i = 0; i < s->out.rows; i++) {
        const float *grad = s->out.grad + i * s->out.stride;
        for (size_t m = 0; m < s->modes.count; m++) {
            pool_backward(s->modes.list[m], s, i, grad);
            grad += s->x.columns;
        }
    }
}

typedef struct saved_scaling {
    tensor out, x;
} saved_scaling;

/* Of y = x / |x|: dx += (dy - y (y dy)) / |x|. */
static void normalize_backward(const run *on, void *saved) {
    const saved_scaling *s = saved;
    for (size_t i = 0; i < s->x.rows; i++) {
        const float *x = tensor_row(s->x, i), *y = tensor_row(s->out, i), *dy = s->out.grad + i * s->out.stride;
        float along = on->kernels->dot_f32(y, dy, s->x.columns);
        float inverse = 1.0f / fmaxf(sqrtf(on->kernels->dot_f32(x, x, s->x.columns)), 1e-12f);
        for (size_t j = 0; j < s->x.columns; j++) s->x.grad[i * s->x.stride + j] += (dy[j] - y[j] * along) * inverse;
    }
}

/* ---- Forward ---- */

tensor pooling_normalize(const run *on, tensor rows) {
    tensor out = run_tensor(on, rows.rows, rows.columns);
    if (run_failed(on)) return out;
    for (size_t s = 0; s < rows.rows; s++) {
        const float *row = tensor_row(rows, s);
        float inverse = 1.0f / fmaxf(sqrtf(on->kernels->dot_f32(row, row, rows.columns)), 1e-12f);
        for (size_t j = 0; j < rows.columns; j++) tensor_row(out, s)[j] = row[j] * inverse;
    }
    saved_scaling *saved = on->tape ? tape_push(on, normalize_backward, sizeof *saved) : NULL;
    if (saved) *saved = (saved_scaling){out, rows};
    return out;
}

static tensor run_stage(const pooling_stage *stage, const run *on, tensor rows) {
    if (stage->kind == STAGE_NORMALIZE) return pooling_normalize(on, rows);
    if (stage->kind == STAGE_TRUNCATE) {
        rows.columns = stage->columns; /* a view: the stride stays */
        return rows;
    }
    tensor next = run_tensor(on, rows.rows, stage->kind == STAGE_DENSE ? stage->dense.out : rows.columns);
    if (stage->kind == STAGE_LAYER_NORM) {
        run_layer_norm(on, next, rows, &stage->norm);
        return next;
    }
    run_linear(on, next, rows, &stage->dense, stage->act, NULL);
    if (!stage->residual) return next;
    tensor more = rows;
    if (stage->beside.out) {
        more = run_tensor(on, rows.rows, stage->beside.out);
        run_linear(on, more, rows, &stage->beside, ACTIVATION_NONE, NULL);
    }
    run_add(on, next, more);
    return next;
}

tensor pooling_forward(const pooling *self, const run *on, tensor x, const batch *input, const size_t *prompt_rows) {
    tensor rows = run_tensor(on, input->sequences, self->modes.count * x.columns);
    size_t *skips = run_take(on, input->sequences, sizeof *skips);
    if (run_failed(on)) return rows;
    for (size_t s = 0; s < input->sequences; s++) {
        float *at = tensor_row(rows, s);
        size_t first = input->start[s], last = input->start[s + 1];
        skips[s] = self->skip_prompt && prompt_rows ? size_min(prompt_rows[s], last - first) : 0;
        for (size_t i = 0; i < self->modes.count; i++) {
            /* the prompt's rows from the first on are left out, [CLS] included */
            pool(self->modes.list[i], x, first, last, first, first + skips[s], at);
            at += x.columns;
        }
    }
    if (on->tape) {
        saved_pooling *saved = tape_push(on, pooling_backward, sizeof *saved);
        if (saved) *saved = (saved_pooling){self->modes, rows, x, input->start, skips};
    }
    return pooling_stages(self, on, rows);
}

tensor pooling_stages(const pooling *self, const run *on, tensor rows) {
    for (size_t i = 0; i < self->stage_count; i++) rows = run_stage(&self->stages[i], on, rows);
    return rows;
}

bool pooling_has_parts(const pooling *self) {
    for (size_t i = 0; i < self->modes.count; i++) {
        const pooling_mode mode = self->modes.list[i];
        if (mode != POOL_MEAN && mode != POOL_MEAN_SQRT && mode != POOL_MAX) return false;
    }
    return true;
}

/* To the numbers of each mode. stride: between the modes' numbers in `from`. */
static void add_to_part(const pooling *self, float *part, const float *from, size_t stride, size_t hidden,
                        size_t count) {
    for (size_t i = 0; i < self->modes.count; i++) {
        const bool largest = self->modes.list[i] == POOL_MAX;
        for (size_t j = 0; j < hidden; j++, part++) {
            const float x = from[i * stride + j];
            *part = count == 0 ? x : !largest ? *part + x : x > *part ? x : *part;
        }
    }
}

void pooling_add_row(const pooling *self, float *part, const float *row, size_t hidden, size_t count) {
    add_to_part(self, part, row, 0, hidden, count);
}

void pooling_add_part(const pooling *self, float *to, const float *part, size_t hidden, size_t count) {
    add_to_part(self, to, part, hidden, hidden, count);
}

void pooling_end_part(const pooling *self, float *part, size_t hidden, size_t count) {
    for (size_t i = 0; i < self->modes.count; i++, part += hidden) {
        if (self->modes.list[i] == POOL_MAX) continue;
        const float divisor = self->modes.list[i] == POOL_MEAN_SQRT ? sqrtf((float)count) : (float)count;
        for (size_t j = 0; j < hidden; j++) part[j] /= fmaxf(divisor, 1e-9f);
    }
}

tensor pooling_mean(const run *on, tensor x, const batch *input) {
    return pooling_forward(&(pooling){.modes = {{POOL_MEAN}, 1}}, on, x, input, NULL);
}

const size_t *pooling_ends(const run *on, const batch *input, bool last) {
    if (!last) return input->start;
    size_t *rows = run_take(on, input->sequences, sizeof *rows);
    for (size_t i = 0; rows && i < input->sequences; i++)
        rows[i] = size_max(input->start[i] + 1, input->start[i + 1]) - 1;
    return rows;
}
