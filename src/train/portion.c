/* From samples to a packed batch. */
#include "train/portion.h"

#include <string.h>

#include "base/checked.h"
#include "base/random.h"
#include "train/trainer.h"

/* A sample's window of its first or second text, in the learner's tokens or the teacher's. */
static const rubato_window *window_of(const sample *from, bool second, bool taught) {
    if (taught) return second ? from->taught_pair : from->taught;
    return second ? from->pair : from->window;
}

/* Lays the windows of samples one behind the other; *ids are the batch's, to be masked. */
static bool pack(batch *out, int32_t **ids, const sample *const *samples_of, size_t count, bool pairs, bool taught,
                 arena *memory) {
    const size_t each = pairs ? 2 : 1;
    size_t rows = 0;
    for (size_t i = 0; i < count * each; i++) rows += window_of(samples_of[i / each], i % each == 1, taught)->length;
    size_t *start = arena_take_array(memory, count * each + 1, sizeof *start);
    int32_t *types = arena_take_array(memory, rows, sizeof *types);
    *ids = arena_take_array(memory, rows, sizeof **ids);
    if (!start || !types || !*ids) return false;
    start[0] = 0;
    for (size_t i = 0; i < count * each; i++) {
        const rubato_window *window = window_of(samples_of[i / each], i % each == 1, taught);
        memcpy(*ids + start[i], window->ids, window->length * sizeof **ids);
        memcpy(types + start[i], window->types, window->length * sizeof *types);
        start[i + 1] = start[i] + window->length;
    }
    *out = (batch){count * each, rows, start, *ids, types};
    return true;
}

/* The end of the group of tokens that begins at `first` and is masked as a whole: a word, or the token alone. */
static size_t group_end(const trainer *by, const rubato_window *window, size_t first) {
    size_t end = first + 1;
    while (by->options->whole_words && end < window->length && window->sequences[end] == window->sequences[first] &&
           tokenizer_continues(by->model->text, window->ids[end]))
        end++;
    return end;
}

/* Lists the first tokens of all groups; returns their number. */
static size_t find_groups(const trainer *by, const rubato_window *window, uint32_t *groups) {
    size_t count = 0;
    for (size_t i = 0; i < window->length; i = window->sequences[i] == 255 ? i + 1 : group_end(by, window, i))
        if (window->sequences[i] != 255) groups[count++] = (uint32_t)i;
    return count;
}

/* 80 % of the chosen tokens become the mask, 10 % a random token, and 10 % stay. Where a generator replaces them, 85 %
 * become the mask, and the others stay (Clark et al. 2020, in the authors' code). */
static void mask_token(portion *self, const trainer *by, size_t row, int32_t *ids, uint64_t *state) {
    const double draw = random_real(state);
    self->labels[row] = ids[row];
    self->items++;
    if (draw < (by->generator ? 0.85 : 0.8))
        ids[row] = by->model->text->mask;
    else if (draw < 0.9 && !by->generator)
        ids[row] = (int32_t)random_below(state, by->model->body.config.vocabulary);
}

/* Chooses 15 % of a sequence's tokens, or `mask_share` of them, at least one, in a random order of the groups; a group
 * that would be too many is passed over (Devlin et al. 2018). `groups` has room for window->length places. */
static void mask_tokens(portion *self, const trainer *by, size_t sequence, int32_t *ids, uint64_t key,
                        uint32_t *groups) {
    const rubato_window *window = self->samples[sequence]->window;
    const size_t first = self->packed.start[sequence];
    uint64_t state = random_hash(key ^ random_hash((uint64_t)self->samples[sequence]->number));
    for (size_t i = 0; i < window->length; i++) self->labels[first + i] = -1;
    const double share = option_or(by->options->mask_share, 0.15);
    size_t count = find_groups(by, window, groups), left = size_max(1, (size_t)(share * (double)window->length + 0.5));
    for (size_t i = 0; i < count && left > 0; i++) {
        size_t j = i + random_below(&state, count - i);
        uint32_t chosen = groups[j];
        groups[j] = groups[i];
        groups[i] = chosen;
        size_t end = group_end(by, window, chosen);
        if (end - chosen > left) continue;
        for (size_t at = chosen; at < end; at++) mask_token(self, by, first + at, ids, &state);
        left -= end - chosen;
    }
}

/* Every token but the last one has the token after it as its label. */
static void label_next(portion *self, size_t sequence, const int32_t *ids) {
    const size_t first = self->packed.start[sequence], last = self->packed.start[sequence + 1] - 1;
    for (size_t row = first; row < last; row++) self->labels[row] = ids[row + 1];
    self->labels[last] = -1;
    self->items += last - first;
}

bool portion_create(portion *self, const trainer *by, const sample *const *samples_of, size_t count, uint64_t key,
                    arena *memory) {
    bool pairs = sample_takes_pairs(by->kind), by_row = by->kind == SAMPLE_TAGS || by->kind == SAMPLE_MASKED;
    const size_t sequences = pairs ? 2 * count : count;
    int32_t *ids, *teachers;
    batch packed, taught;
    if (!pack(&packed, &ids, samples_of, count, pairs, false, memory)) return false;
    taught = packed;
    if (by->other_tokens && !pack(&taught, &teachers, samples_of, count, pairs, true, memory)) return false;
    const size_t rows = packed.rows;
    const sample **owners = arena_take_array(memory, sequences, sizeof *owners);
    uint32_t *groups = arena_take_array(memory, by->kind == SAMPLE_MASKED ? rows : 0, sizeof *groups);
    *self = (portion){.packed = packed,
                      .taught = taught,
                      .labels = arena_take_array(memory, by_row ? rows : sequences, sizeof *self->labels),
                      .starts = arena_take_array(memory, sequences, sizeof *self->starts),
                      .ends = arena_take_array(memory, sequences, sizeof *self->ends),
                      .values = arena_take_array(memory, sequences, sizeof *self->values),
                      .targets = arena_take_array(memory, sequences, sizeof *self->targets)};
    if (!owners || !groups || !self->labels || !self->starts || !self->ends || !self->values || !self->targets)
        return false;
    for (size_t i = 0; i < sequences; i++) owners[i] = samples_of[pairs ? i / 2 : i];
    self->samples = owners;
    for (size_t i = 0; i < sequences; i++) {
        const sample *from = owners[i];
        self->starts[i] = from->start;
        self->ends[i] = from->end;
        self->targets[i] = from->targets;
        self->values[pairs ? i / 2 : i] = from->value;
        if (!by_row) self->labels[i] = from->label;
        if (by->kind == SAMPLE_MASKED && by->next_token)
            label_next(self, i, ids);
        else if (by->kind == SAMPLE_MASKED)
            mask_tokens(self, by, i, ids, key, groups);
        for (size_t j = 0; by->kind == SAMPLE_TAGS && j < from->window->length; j++) {
            self->labels[packed.start[i] + j] = from->labels[j];
            self->items += from->labels[j] >= 0;
        }
    }
    if (!by_row) self->items = count;
    return true;
}
