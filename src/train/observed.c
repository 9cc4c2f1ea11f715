/* Tensors of a forward pass that are kept for losses. */
#include "train/observed.h"

#include <string.h>

typedef struct observing {
    observed *seen;
    const run *memory; /* the run in whose arena the list grows */
    const run *copies; /* the run of the copies; NULL: tensors stay as they are */
} observing;

static void grow(observed *seen, const run *on) {
    size_t capacity = 2 * seen->capacity + 16;
    observation *grown = run_take(on, capacity, sizeof *grown);
    if (!grown) return;
    if (seen->count) memcpy(grown, seen->at, seen->count * sizeof *grown);
    seen->at = grown;
    seen->capacity = capacity;
}

static void keep(void *user, const run *on, const sight *what) {
    const observing *self = user;
    observed *seen = self->seen;
    (void)on;
    tensor rows = self->copies ? run_copy(self->copies, what->rows) : what->rows;
    if (seen->count == seen->capacity) grow(seen, self->memory);
    if (run_failed(self->memory)) return;
    seen->at[seen->count++] = (observation){what->what, what->layer, rows, *what->packed, what->alive, what->heads};
}

void observe_forward(const encoder *body, const run *on, const run *learns_on, const batch *input, const thinning *thin,
                     unsigned wanted, observed *seen, encoded *out) {
    const run *memory = learns_on ? learns_on : on;
    observing all = {.seen = seen, .memory = memory, .copies = on->tape ? NULL : memory};
    const watcher watch = {wanted, keep, &all};
    run watching = *on;
    watching.watch = &watch;
    encoder_forward(body, &watching, input, thin, out);
}

const observation *observed_find(const observed *self, watch_kind what, size_t index) {
    for (size_t i = 0; i < self->count; i++)
        if (self->at[i].what == what && index-- == 0) return &self->at[i];
    return NULL;
}

const observation *observed_at(const observed *self, watch_kind what, size_t number) {
    for (size_t i = 0; i < self->count; i++)
        if (self->at[i].what == what && self->at[i].number == number) return &self->at[i];
    return NULL;
}
