/* From samples to a packed batch, and from hidden states to a loss. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/random.h"
#include "train/trainer.h"

static bool takes_pairs(sample_kind kind) {
    return kind == SAMPLE_COSINE || kind == SAMPLE_CONTRAST;
}

static void put_window(size_t sequence, const rubato_window *window, size_t *start, int32_t *ids, int32_t *types) {
    memcpy(ids + start[sequence], window->ids, window->length * sizeof *ids);
    memcpy(types + start[sequence], window->types, window->length * sizeof *types);
    start[sequence + 1] = start[sequence] + window->length;
}

/* 15 % of the tokens are asked for; of those 80 % become the mask, 10 % any token, 10 % stay (Devlin et al. 2018). */
static void mask_tokens(portion *self, const trainer *by, size_t sequence, int32_t *ids, uint64_t key) {
    const rubato_window *window = self->samples[sequence]->window;
    uint64_t state = random_hash(key ^ random_hash((uint64_t)(self->samples[sequence] - by->data.items)));
    for (size_t i = 0; i < window->length; i++) {
        size_t row = self->packed.start[sequence] + i;
        self->labels[row] = -1;
        double asked = random_real(&state), how = random_real(&state), other = random_real(&state);
        if (window->sequences[i] == 255 || asked >= 0.15) continue;
        self->labels[row] = ids[row];
        self->items++;
        if (how < 0.8)
            ids[row] = by->model->text->mask;
        else if (how < 0.9)
            ids[row] = (int32_t)(other * (double)by->model->body.config.vocabulary);
    }
}

bool portion_create(portion *self, const trainer *by, const sample *const *samples_of, size_t count, uint64_t key,
                    arena *memory) {
    bool pairs = takes_pairs(by->kind), by_row = by->kind == SAMPLE_TAGS || by->kind == SAMPLE_MASKED;
    size_t sequences = pairs ? 2 * count : count, rows = 0;
    for (size_t i = 0; i < count; i++)
        rows += samples_of[i]->window->length + (pairs ? samples_of[i]->pair->length : 0);
    size_t *start = arena_take_array(memory, sequences + 1, sizeof *start);
    int32_t *ids = arena_take_array(memory, rows, sizeof *ids), *types = arena_take_array(memory, rows, sizeof *types);
    const sample **owners = arena_take_array(memory, sequences, sizeof *owners);
    *self = (portion){.labels = arena_take_array(memory, by_row ? rows : sequences, sizeof *self->labels),
                      .starts = arena_take_array(memory, sequences, sizeof *self->starts),
                      .ends = arena_take_array(memory, sequences, sizeof *self->ends),
                      .values = arena_take_array(memory, sequences, sizeof *self->values)};
    if (!start || !ids || !types || !owners || !self->labels || !self->starts || !self->ends || !self->values)
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

/* Copies a tensor's values for the passes that follow. */
void keep_values(reference *keep, tensor values, bool *failed) {
    size_t count = values.rows * values.columns;
    if (count > keep->capacity) {
        float *grown = realloc(keep->values, count * sizeof *grown);
        if (!grown) {
            *failed = true;
            return;
        }
        keep->values = grown;
        keep->capacity = count;
    }
    keep->count = count;
    for (size_t i = 0; i < values.rows; i++)
        memcpy(keep->values + i * values.columns, tensor_row(values, i), values.columns * sizeof(float));
}

/* The rows that the masked-LM head is asked about: the decoder is as wide as the vocabulary. */
static size_t *asked_rows(const run *on, const portion *self, int32_t **labels, size_t *count) {
    size_t *rows = run_take(on, self->packed.rows, sizeof *rows);
    *labels = run_take(on, self->packed.rows, sizeof **labels);
    *count = 0;
    for (size_t i = 0; rows && *labels && i < self->packed.rows; i++)
        if (self->labels[i] >= 0) {
            (*labels)[*count] = self->labels[i];
            rows[(*count)++] = i;
        }
    return rows;
}

static double next_sentence_loss(const trainer *by, const run *on, const encoded *out, const portion *self,
                                 double scale) {
    const head *nsp = &by->model->heads[HEAD_NSP];
    if (!nsp->present) return 0;
    int32_t *labels = run_take(on, self->packed.sequences, sizeof *labels);
    tensor logits = head_forward(nsp, on, out->rows, out->packed.start, self->packed.sequences);
    if (run_failed(on)) return 0;
    for (size_t i = 0; i < self->packed.sequences; i++) labels[i] = self->samples[i]->label;
    return loss_cross_entropy(on, logits, labels, scale);
}

/* What a model gives for a portion: a row a sequence, a token or an asked token. *labels receives those of the rows. */
static tensor portion_results(const trainer *by, const rubato_model *model, const run *on, const encoded *out,
                              const portion *self, int32_t **labels) {
    const size_t *rows = NULL;
    size_t count = 0;
    *labels = self->labels;
    if (takes_pairs(by->kind)) {
        tensor vectors = pooling_forward(&model->pool, on, out->rows, &out->packed, NULL);
        return !model->info.normalized ? pooling_normalize(on, vectors) : vectors;
    }
    if (by->kind == SAMPLE_CLASS || by->kind == SAMPLE_VALUE) {
        rows = out->packed.start;
        count = self->packed.sequences;
    } else if (by->kind == SAMPLE_MASKED) {
        rows = asked_rows(on, self, labels, &count);
    }
    return head_forward(&model->heads[engine_main_head(model)], on, out->rows, rows, count);
}

typedef struct keeping {
    reference *keep;
    size_t elements;
} keeping;

static void keep_layer(void *user, const run *on, const sight *what) {
    const keeping *mine = user;
    tensor rows = what->rows;
    size_t number = what->layer;
    (void)on;
    for (size_t i = 0; i < rows.rows; i++)
        memcpy(mine->keep->states + number * mine->elements + i * rows.columns, tensor_row(rows, i),
               rows.columns * sizeof(float));
}

static bool make_room_for_states(reference *keep, size_t count) {
    if (count <= keep->states_capacity) return true;
    float *grown = realloc(keep->states, count * sizeof *grown);
    if (!grown) return false;
    keep->states = grown;
    keep->states_capacity = count;
    return true;
}

bool portion_teach(const trainer *by, const run *on, const portion *self, reference *keep) {
    encoded out;
    int32_t *labels;
    bool failed = false;
    const encoder *body = &by->teacher->body;
    bool matches = by->now->match_states > 0;
    keeping states = {keep, self->packed.rows * body->config.hidden};
    if (matches && !make_room_for_states(keep, (body->depth + 1) * states.elements)) return false;
    const watcher watch = {WATCH_STATE, keep_layer, &states};
    run watched = *on;
    if (matches) watched.watch = &watch;
    encoder_forward(body, &watched, &self->packed, NULL, &out);
    tensor values = portion_results(by, by->teacher, on, &out, self, &labels);
    if (!run_failed(on)) keep_values(keep, values, &failed);
    return !run_failed(on) && !failed;
}

rubato_status portion_answers(const trainer *by, const run *on, const encoded *out, const portion *self,
                              reference *keep, rubato_error *error) {
    int32_t *labels;
    bool failed = false;
    run plain = *on;
    plain.tape = NULL; /* nothing flows back through what is said */
    tensor values = portion_results(by, by->model, &plain, out, self, &labels);
    TRY(run_result(on, error));
    keep_values(keep, values, &failed);
    return failed ? fail_memory(error) : RUBATO_OK;
}

double values_loss(const trainer *by, const run *on, tensor values, const portion *self, int32_t *labels,
                   const reference *follow, divergence how, double scale) {
    if (follow) {
        if (by->kind == SAMPLE_CLASS) labels = NULL; /* every sequence counts, also without a label */
        if (by->kind == SAMPLE_CLASS || by->kind == SAMPLE_TAGS || by->kind == SAMPLE_MASKED)
            return loss_divergence(on, values, follow->values, labels, how, scale);
        if (by->kind == SAMPLE_SPAN)
            return loss_spans_divergence(on, values, &self->packed, follow->values, how, scale);
        return loss_match(on, values, follow->values, NULL, scale);
    }
    switch (by->kind) {
    case SAMPLE_VALUE: return loss_squares(on, values, self->values, scale);
    case SAMPLE_SPAN: return loss_spans(on, values, &self->packed, self->starts, self->ends, scale);
    case SAMPLE_COSINE: return loss_cosine(on, values, self->values, scale);
    case SAMPLE_CONTRAST: return loss_contrast(on, values, 20, scale);
    case SAMPLE_MASKED:
    case SAMPLE_CLASS:
    case SAMPLE_TAGS: break;
    }
    return loss_cross_entropy(on, values, labels, scale);
}

double portion_loss(const trainer *by, const run *on, const encoded *out, const portion *self, const reference *follow,
                    divergence how, reference *keep, double scale) {
    int32_t *labels;
    tensor values = portion_results(by, by->model, on, out, self, &labels);
    bool failed = false;
    if (run_failed(on)) return 0;
    if (keep) keep_values(keep, values, &failed);
    if (failed) run_fail(on, RUBATO_OUT_OF_MEMORY);
    double loss = values_loss(by, on, values, self, labels, follow, how, scale);
    if (by->kind == SAMPLE_MASKED && !follow) loss += next_sentence_loss(by, on, out, self, scale);
    return loss;
}
