/* What a forward pass shows on its way. */
#include "train/observed.h"

#include <string.h>

static void grow(observed *self, const run *on) {
    size_t capacity = 2 * self->capacity + 16;
    observation *grown = run_take(on, capacity, sizeof *grown);
    if (!grown) return;
    if (self->count) memcpy(grown, self->at, self->count * sizeof *grown);
    self->at = grown;
    self->capacity = capacity;
}

static void see(void *user, const run *pass, const sight *what) {
    observed *self = user;
    const run *on = self->on ? self->on : pass;
    tensor rows = self->on ? run_copy(on, what->rows) : what->rows; /* the next layer may be computed over its memory */
    if (self->count == self->capacity) grow(self, on);
    if (run_failed(on)) return;
    self->at[self->count++] =
        (observation){what->what, what->layer, rows, *what->packed, what->alive, what->heads};
}

watcher observed_watcher(observed *self, unsigned kinds) {
    return (watcher){kinds, see, self};
}

const observation *observed_find(const observed *self, watch_kind what, size_t index) {
    for (size_t i = 0; i < self->count; i++)
        if (self->at[i].what == what && index-- == 0) return &self->at[i];
    return NULL;
}
