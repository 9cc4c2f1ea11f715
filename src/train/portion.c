/* From samples to a packed batch. */
#include "train/portion.h"

#include <string.h>

#include "base/random.h"
#include "train/trainer.h"

static void put_window(size_t sequence, const rubato_window *window, size_t *start, int32_t *ids, int32_t *types) {
    memcpy(ids + start[sequence], window->ids, window->length * sizeof *ids);
    memcpy(types + start[sequence], window->types, window->length * sizeof *types);
    start[sequence + 1] = start[sequence] + window->length;
}

/* Selects 15 % of the tokens; 80 % of them become the mask, 10 % a random token, and 10 % stay (Devlin et al. 2018). */
static void mask_tokens(portion *self, const trainer *by, size_t sequence, int32_t *ids, uint64_t key) {
    const rubato_window *window = self->samples[sequence]->window;
    uint64_t state = random_hash(key ^ random_hash((uint64_t)(self->samples[sequence] - by->data.items)));
    for (size_t i = 0; i < window->length; i++) {
        size_t row = self->packed.start[sequence] + i;
        self->labels[row] = -1;
        double asked = random_real(&state), draw = random_real(&state), other = random_real(&state);
        if (window->sequences[i] == 255 || asked >= 0.15) continue;
        self->labels[row] = ids[row];
        self->items++;
        if (draw < 0.8)
            ids[row] = by->model->text->mask;
        else if (draw < 0.9)
            ids[row] = (int32_t)(other * (double)by->model->body.config.vocabulary);
    }
}

bool portion_create(portion *self, const trainer *by, const sample *const *samples_of, size_t count, uint64_t key,
                    arena *memory) {
    bool pairs = sample_takes_pairs(by->kind), by_row = by->kind == SAMPLE_TAGS || by->kind == SAMPLE_MASKED;
    size_t sequences = pairs ? 2 * count : count, rows = 0;
    for (size_t i = 0; i < count; i++)
        rows += samples_of[i]->window->length + (pairs ? samples_of[i]->pair->length : 0);
    size_t *start = arena_take_array(memory, sequences + 1, sizeof *start);
    int32_t *ids = arena_take_array(memory, rows, sizeof *ids), *types = arena_take_array(memory, rows, sizeof *types);
    const sample **owners = arena_take_array(memory, sequences, sizeof *owners);
    *self = (portion){.labels = arena_take_array(memory, by_row ? rows : sequences, sizeof *self->labels),
                      .starts = arena_take_array(memory, sequences, sizeof *self->starts),
                      .ends = arena_take_array(memory, sequences, sizeof *self->ends),
                      .values = arena_take_array(memory, sequences, sizeof *self->values),
                      .targets = arena_take_array(memory, sequences, sizeof *self->targets)};
    if (!start || !ids || !types || !owners || !self->labels || !self->starts || !self->ends || !self->values ||
        !self->targets)
        return false;
    start[0] = 0;
    for (size_t i = 0, at = 0; i < count; i++) {
        const sample *from = samples_of[i];
        owners[at] = from;
        put_window(at++, from->window, start, ids, types);
        if (!pairs) continue;
        owners[at] = from;
        put_window(at++, from->pair, start, ids, types);
    }
    self->packed = (batch){sequences, rows, start, ids, types};
    self->samples = owners;
    for (size_t i = 0; i < sequences; i++) {
        const sample *from = owners[i];
        self->starts[i] = from->start;
        self->ends[i] = from->end;
        self->targets[i] = from->targets;
        self->values[pairs ? i / 2 : i] = from->value;
        if (!by_row) self->labels[i] = from->label;
        if (by->kind == SAMPLE_MASKED) mask_tokens(self, by, i, ids, key);
        for (size_t j = 0; by->kind == SAMPLE_TAGS && j < from->window->length; j++) {
            self->labels[start[i] + j] = from->labels[j];
            self->items += from->labels[j] >= 0;
        }
    }
    if (!by_row) self->items = count;
    return true;
}
