/* From hidden states to a loss. */
#include "train/objective.h"

#include <stdlib.h>
#include <string.h>

#include "train/trainer.h"

/* Copies a tensor's values, row by row. */
static void keep_values(const run *on, reference *keep, tensor values) {
    if (run_failed(on)) return;
    size_t count = values.rows * values.columns;
    if (count > keep->capacity) {
        float *grown = realloc(keep->values, count * sizeof *grown);
        if (!grown) {
            run_fail(on, RUBATO_OUT_OF_MEMORY);
            return;
        }
        keep->values = grown;
        keep->capacity = count;
    }
    keep->count = count;
    for (size_t i = 0; i < values.rows; i++)
        memcpy(keep->values + i * values.columns, tensor_row(values, i), values.columns * sizeof(float));
}

/* The rows with a masked-LM target. Only these go through the decoder, which is as wide as the vocabulary. */
static size_t *masked_rows(const run *on, const portion *self, int32_t **labels, size_t *count) {
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
    /* the mean over sequences counts as much as the mean over masked tokens */
    const double each = (double)self->items / (double)self->packed.sequences;
    return each * loss_cross_entropy(on, logits, labels, each * scale);
}

/* The results of a model for a portion: one row for each sequence, token or masked token. *labels receives the labels
 * of the rows. */
static tensor portion_results(const trainer *by, const rubato_model *model, const run *on, const encoded *out,
                              const portion *self, int32_t **labels) {
    const size_t *rows = NULL;
    size_t count = 0;
    *labels = self->labels;
    if (sample_takes_pairs(by->kind)) {
        tensor vectors = pooling_forward(&model->pool, on, out->rows, &out->packed, NULL);
        return !model->info.normalized ? pooling_normalize(on, vectors) : vectors;
    }
    if (by->kind == SAMPLE_CLASS || by->kind == SAMPLE_CLASSES || by->kind == SAMPLE_VALUE) {
        return head_of_sequences(&model->heads[engine_main_head(model)], on, out->rows, &out->packed);
    } else if (by->kind == SAMPLE_MASKED) {
        rows = masked_rows(on, self, labels, &count);
    }
    return head_forward(&model->heads[engine_main_head(model)], on, out->rows, rows, count);
}

void portion_teach(const trainer *by, const run *on, const portion *self, unsigned wanted, observed *seen,
                   reference *keep) {
    encoded out;
    int32_t *labels;
    observe_forward(&by->teacher->body, on, NULL, &self->taught, NULL, wanted, seen, &out);
    if (keep) keep_values(on, keep, portion_results(by, by->teacher, on, &out, self, &labels));
}

void portion_answers(const trainer *by, const run *on, const encoded *out, const portion *self, reference *keep) {
    int32_t *labels;
    run plain = *on;
    plain.tape = NULL; /* these answers are targets, so no gradient flows back through them */
    keep_values(on, keep, portion_results(by, by->model, &plain, out, self, &labels));
}

double values_loss(const trainer *by, const run *on, tensor values, const portion *self, int32_t *labels,
                   const reference *follow, divergence form, double scale) {
    if (follow) {
        if (by->kind == SAMPLE_CLASSES) return loss_labels_match(on, values, follow->values, scale);
        if (by->kind == SAMPLE_CLASS) labels = NULL; /* every sequence counts, also without a label */
        if (by->kind == SAMPLE_CLASS || by->kind == SAMPLE_TAGS || by->kind == SAMPLE_MASKED)
            return loss_divergence(on, values, follow->values, labels, form, scale);
        if (by->kind == SAMPLE_SPAN)
            return loss_spans_divergence(on, values, &self->packed, follow->values, form, scale);
        return loss_match(on, values, follow->values, values.columns, NULL, scale);
    }
    switch (by->kind) {
    case SAMPLE_VALUE: return loss_squares(on, values, self->values, scale);
    case SAMPLE_SPAN: return loss_spans(on, values, &self->packed, self->starts, self->ends, scale);
    case SAMPLE_COSINE: return loss_cosine(on, values, self->values, scale);
    case SAMPLE_CLASSES: return loss_labels(on, values, self->targets, scale);
    case SAMPLE_CONTRAST: return loss_contrast(on, values, 20, scale);
    case SAMPLE_TEXT: return 0;
    case SAMPLE_MASKED:
    case SAMPLE_CLASS:
    case SAMPLE_TAGS: break;
    }
    return loss_cross_entropy(on, values, labels, scale);
}

double portion_loss(const trainer *by, const run *on, const encoded *out, const portion *self, const reference *follow,
                    divergence form, reference *keep, double scale) {
    int32_t *labels;
    tensor values = portion_results(by, by->model, on, out, self, &labels);
    if (keep) keep_values(on, keep, values);
    if (run_failed(on)) return 0;
    double loss = values_loss(by, on, values, self, labels, follow, form, scale);
    if (by->kind == SAMPLE_MASKED && !follow) loss += next_sentence_loss(by, on, out, self, scale);
    return loss;
}
