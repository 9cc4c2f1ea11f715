/* One row for each text from the rows of its windows. */
#include "task/window_rows.h"

#include <stdlib.h>
#include <string.h>

rubato_status window_rows_create(window_rows *self, float *out, size_t count, size_t columns, bool several,
                                 rubato_error *error) {
    *self = (window_rows){.out = out, .count = count, .columns = columns};
    if (!several) return RUBATO_OK;
    self->parts = calloc(count ? count : 1, sizeof *self->parts);
    return self->parts ? RUBATO_OK : fail_memory(error);
}

static size_t text_tokens(const rubato_window *window) {
    size_t count = 0;
    for (size_t i = 0; i < window->length; i++) count += window->sequences[i] != UINT8_MAX;
    return count;
}

rubato_status window_rows_prepare(window_rows *self, size_t input, const rubato_encoding *encoding,
                                  rubato_error *error) {
    if (!self->parts || encoding->count < 2) return RUBATO_OK;
    window_part *part = &self->parts[input];
    part->windows = encoding->count;
    part->rows = calloc(encoding->count, (self->columns + 1) * sizeof *part->rows);
    if (!part->rows) return fail_memory(error);
    part->weights = part->rows + encoding->count * self->columns;
    for (size_t i = 0; i < encoding->count; i++) part->weights[i] = (float)text_tokens(&encoding->windows[i]);
    return RUBATO_OK;
}

float *window_rows_at(const window_rows *self, const unit *of) {
    const window_part *part = self->parts ? &self->parts[of->input] : NULL;
    return part && part->rows ? part->rows + of->number * self->columns : self->out + of->input * self->columns;
}

static void join_mean(const window_part *part, float *out, size_t columns) {
    float total = 0;
    memset(out, 0, columns * sizeof *out);
    for (size_t i = 0; i < part->windows; i++) {
        total += part->weights[i];
        for (size_t j = 0; j < columns; j++) out[j] += part->weights[i] * part->rows[i * columns + j];
    }
    for (size_t j = 0; j < columns; j++) out[j] /= total;
}

static void join_largest(const window_part *part, float *out, size_t columns) {
    size_t best = 0;
    for (size_t i = 1; i < part->windows; i++)
        if (part->rows[i * columns] > part->rows[best * columns]) best = i;
    memcpy(out, part->rows + best * columns, columns * sizeof *out);
}

void window_rows_join(const window_rows *self, window_join how) {
    for (size_t i = 0; self->parts && i < self->count; i++)
        if (self->parts[i].rows)
            (how == JOIN_MEAN ? join_mean : join_largest)(&self->parts[i], self->out + i * self->columns,
                                                          self->columns);
}

void window_rows_free(window_rows *self) {
    for (size_t i = 0; self->parts && i < self->count; i++) free(self->parts[i].rows);
    free(self->parts);
    *self = (window_rows){0};
}
