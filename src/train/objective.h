/* The answers of a model for a portion, and their losses. */
#ifndef RUBATO_TRAIN_OBJECTIVE_H
#define RUBATO_TRAIN_OBJECTIVE_H

#include "train/loss.h"
#include "train/observed.h"
#include "train/portion.h"

/* Answers to learn from: of a teacher, of a step's first pass, or of the model's own head. The owner frees values. */
typedef struct reference {
    float *values;
    size_t count, capacity;
} reference;

/* Runs the teacher on a portion: its answers, unless keep is NULL, and in *seen the tensors that `wanted` names (bits
 * of watch_kind). Failures are the run's, here and below. */
void portion_teach(const trainer *by, const run *on, const portion *self, unsigned wanted, observed *seen,
                   reference *keep);

/* The answers of the model's own head for a portion; nothing is recorded. */
void portion_answers(const trainer *by, const run *on, const encoded *out, const portion *self, reference *keep);

/* The loss of values [items, columns] that the task asks for: from the portion's labels, or with `follow` the
 * divergence from those answers. labels  of the rows of values scale   multiplies the gradients, which are added to
 * those of values; the sum that is returned has no scale */
double values_loss(const trainer *by, const run *on, tensor values, const portion *self, int32_t *labels,
                   const reference *follow, divergence form, double scale);

/* Runs the model's head and returns the loss of its answers, as values_loss. keep (may be NULL) receives the answers.
 */
double portion_loss(const trainer *by, const run *on, const encoded *out, const portion *self, const reference *follow,
                    divergence form, reference *keep, double scale);

#endif
