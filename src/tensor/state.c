/* State between segments. */
#include "tensor/state.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

typedef struct slot {
    float *data; /* [rows][columns] */
    size_t *start;
    size_t rows, columns, sequences;
} slot;

struct run_state {
    size_t layers;
    size_t *seen; /* [sequences] */
    size_t sequences;
    slot slots[];
};

rubato_status run_state_create(run_state **self, size_t layers, rubato_error *error) {
    size_t bytes;
    bool fits = checked_multiply(layers, sizeof(slot), &bytes) && bytes < SIZE_MAX - sizeof **self;
    *self = fits ? calloc(1, sizeof **self + bytes) : NULL;
    if (!*self) return fail_memory(error);
    (*self)->layers = layers;
    return RUBATO_OK;
}

static void slot_free(slot *self) {
    free(self->data);
    free(self->start);
    *self = (slot){0};
}

void run_state_clear(run_state *self) {
    for (size_t i = 0; i < self->layers; i++) slot_free(&self->slots[i]);
    free(self->seen);
    self->seen = NULL;
    self->sequences = 0;
}

void run_state_destroy(run_state *self) {
    if (!self) return;
    run_state_clear(self);
    free(self);
}

size_t run_seen(const run *self, size_t sequence) {
    return self->state && sequence < self->state->sequences ? self->state->seen[sequence] : 0;
}

void run_count_seen(const run *self, const size_t *start, size_t sequences) {
    run_state *state = self->state;
    if (!state || run_failed(self)) return;
    if (state->sequences < sequences) {
        size_t *grown = realloc(state->seen, sequences * sizeof *grown);
        if (!grown) {
            run_fail(self, RUBATO_OUT_OF_MEMORY);
            return;
        }
        for (size_t i = state->sequences; i < sequences; i++) grown[i] = 0;
        state->seen = grown;
        state->sequences = sequences;
    }
    for (size_t i = 0; i < sequences; i++) state->seen[i] += start[i + 1] - start[i];
}

kept_rows run_kept(const run *self, size_t layer) {
    if (!self->state || layer >= self->state->layers) return (kept_rows){0};
    const slot *s = &self->state->slots[layer];
    tensor rows = {.data = s->data, .rows = s->rows, .columns = s->columns, .stride = s->columns};
    return (kept_rows){rows, s->start, s->sequences};
}

void run_keep(const run *self, size_t layer, tensor rows, const size_t *start, size_t sequences) {
    if (!self->state || layer >= self->state->layers || run_failed(self)) return;
    size_t elements;
    slot made = {.rows = rows.rows, .columns = rows.columns, .sequences = sequences};
    if (checked_multiply(rows.rows, rows.columns, &elements)) {
        made.data = calloc(size_max(elements, 1), sizeof *made.data);
        made.start = calloc(sequences + 1, sizeof *made.start);
    }
    if (!made.data || !made.start) {
        slot_free(&made);
        run_fail(self, RUBATO_OUT_OF_MEMORY);
        return;
    }
    for (size_t i = 0; i < rows.rows; i++)
        memcpy(made.data + i * rows.columns, tensor_row(rows, i), rows.columns * sizeof *made.data);
    memcpy(made.start, start, (sequences + 1) * sizeof *start);
    slot *s = &self->state->slots[layer];
    slot_free(s); /* last, because the rows may be those that were kept before */
    *s = made;
}
