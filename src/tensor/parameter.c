/* Parameters. */
#include "tensor/parameter.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"

static float *take_floats(size_t count) {
    size_t bytes;
    if (!checked_multiply(size_max(count, 1), sizeof(float), &bytes)) return NULL;
    return aligned_alloc(64, round_up(bytes, 64));
}

/* What one packing of a linear layer shares among its threads: panels are dealt out. */
typedef struct packing {
    const source *weights;
    size_t count;
    linear *target;
    const kernel_table *kernels;
    atomic_bool no_memory;
    _Atomic(const char *) not_finite; /* name of the weight */
} packing;

/* Rows [first, first + count) of the stack, as floats. */
static void read_stacked(packing *work, size_t first, size_t count, float *out) {
    size_t base = 0;
    for (size_t i = 0; i < work->count && count > 0; i++) {
        const source *from = &work->weights[i];
        if (first < base + from->rows) {
            size_t row = first - base, take = size_min(count, from->rows - row);
            dtype_read(out, from->type, from->data, row * from->columns, take * from->columns);
            if (!all_finite(out, take * from->columns)) atomic_store(&work->not_finite, from->name);
            out += take * from->columns;
            first += take;
            count -= take;
        }
        base += from->rows;
    }
}

static void pack_panels(void *argument, size_t member, size_t members) {
    packing *work = argument;
    const linear *target = work->target;
    float *rows = take_floats(PANEL * target->in);
    if (!rows) {
        atomic_store(&work->no_memory, true);
        return;
    }
    for (size_t panel = member; panel * PANEL < target->out; panel += members) {
        size_t first = panel * PANEL, count = size_min(PANEL, target->out - first);
        read_stacked(work, first, count, rows);
        work->kernels->pack_transposed_f32(target->packed + panel * PANEL * target->in, rows, target->in, count,
                                           target->in);
    }
    free(rows);
}

static rubato_status load_vector(float *out, const source *from, rubato_error *error) {
    dtype_read(out, from->type, from->data, 0, from->rows * from->columns);
    if (!all_finite(out, from->rows * from->columns))
        return fail(error, RUBATO_BAD_MODEL, "tensor \"%s\" holds NaN or infinity; the weights are damaged",
                    from->name);
    return RUBATO_OK;
}

rubato_status linear_load(linear *self, const source *weights, const source *biases, size_t count, team *crew,
                          const kernel_table *kernels, rubato_error *error) {
    *self = (linear){0};
    self->in = weights[0].columns;
    bool any_bias = false;
    for (size_t i = 0; i < count; i++) {
        self->out += weights[i].rows;
        any_bias = any_bias || (biases && biases[i].data);
    }
    size_t elements;
    if (!checked_multiply(round_up(self->out, PANEL), self->in, &elements)) return fail_memory(error);
    self->packed = take_floats(elements);
    if (any_bias) self->bias = calloc(self->out, sizeof *self->bias);
    if (!self->packed || (any_bias && !self->bias)) {
        linear_free(self);
        return fail_memory(error);
    }
    packing work = {.weights = weights, .count = count, .target = self, .kernels = kernels};
    team_run(crew, pack_panels, &work);
    rubato_status status = RUBATO_OK;
    if (atomic_load(&work.no_memory)) {
        status = fail_memory(error);
    } else if (atomic_load(&work.not_finite)) {
        status = fail(error, RUBATO_BAD_MODEL, "tensor \"%s\" holds NaN or infinity; the weights are damaged",
                      (const char *)work.not_finite);
    }
    size_t at = 0;
    for (size_t i = 0; i < count && status == RUBATO_OK; i++) {
        if (biases && biases[i].data) status = load_vector(self->bias + at, &biases[i], error);
        at += weights[i].rows;
        file_release(weights[i].data, weights[i].rows * weights[i].columns * dtype_bits(weights[i].type) / 8);
    }
    if (status != RUBATO_OK) linear_free(self);
    return status;
}

void linear_free(linear *self) {
    free(self->packed);
    free(self->bias);
    *self = (linear){0};
}

rubato_status norm_load(norm *self, const source *gamma, const source *beta, float epsilon, rubato_error *error) {
    size_t width = gamma->rows * gamma->columns;
    *self = (norm){.width = width, .epsilon = epsilon};
    self->gamma = take_floats(width);
    self->beta = beta && beta->data ? take_floats(width) : NULL;
    rubato_status status = RUBATO_OK;
    if (!self->gamma || (beta && beta->data && !self->beta)) status = fail_memory(error);
    if (status == RUBATO_OK) status = load_vector(self->gamma, gamma, error);
    if (status == RUBATO_OK && self->beta) status = load_vector(self->beta, beta, error);
    if (status != RUBATO_OK) norm_free(self);
    return status;
}

void norm_free(norm *self) {
    free(self->gamma);
    free(self->beta);
    *self = (norm){0};
}

void table_load(table *self, const source *from) {
    *self = (table){from->type, from->data, from->rows, from->columns};
}

void table_copy(const table *self, size_t row, float *out) {
    dtype_read(out, self->type, self->data, row * self->width, self->width);
}

void table_add(const table *self, size_t row, float *out) {
    enum { CHUNK = 256 };
    float values[CHUNK];
    for (size_t first = 0; first < self->width; first += CHUNK) {
        size_t count = size_min(CHUNK, self->width - first);
        dtype_read(values, self->type, self->data, row * self->width + first, count);
        for (size_t i = 0; i < count; i++) out[first + i] += values[i];
    }
}
