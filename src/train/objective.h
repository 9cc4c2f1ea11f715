/* What a model answers for a portion, and how far that is from what it should. */
#ifndef RUBATO_TRAIN_OBJECTIVE_H
#define RUBATO_TRAIN_OBJECTIVE_H

#include "train/loss.h"
#include "train/observed.h"
#include "train/portion.h"

/* Answers to learn from: of a teacher, of a step's first pass, or of the model's own head. Their values are freed by
 * the owner. */
typedef struct reference {
    float *values;
    size_t count, capacity;
} reference;

/* The teacher's answers for a portion. seen receives what its layers show of these kinds (bits of watch_kind). Failures
 * are the run's, here and below. */
void portion_teach(const trainer *by, const run *on, const portion *self, observed *seen, unsigned kinds,
                   reference *keep);

/* What the model's own head says of a portion; nothing is recorded. */
void portion_answers(const trainer *by, const run *on, const encoded *out, const portion *self, reference *keep);

/* Loss of values [items, columns] of the kind of the task. labels: of its rows. With `follow` the loss is the
 * divergence from it. Gradients are scaled by `scale`; the sum, which is returned, is not. */
double values_loss(const trainer *by, const run *on, tensor values, const portion *self, int32_t *labels,
                   const reference *follow, divergence how, double scale);

/* The model's head, and the loss of its answers. Without `follow`, *keep (may be NULL) receives them. */
double portion_loss(const trainer *by, const run *on, const encoded *out, const portion *self, const reference *follow,
                    divergence how, reference *keep, double scale);

#endif
