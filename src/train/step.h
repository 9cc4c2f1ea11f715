/* One step: its samples, passes and gradients, and the optimiser's step. */
#ifndef RUBATO_TRAIN_STEP_H
#define RUBATO_TRAIN_STEP_H

#include "train/trainer.h"

typedef struct step_report {
    size_t rows, passes;
    double loss;        /* of the first pass, the mean over items */
    double follow_loss; /* of the other passes, the sum of such means */
} step_report;

/* Step self->step of the phase's `steps`. order [samples] is the order of the epoch. Fails: BAD_MODEL for a loss or
 * gradient that is not a number; OUT_OF_MEMORY; and as the phase's functions. */
rubato_status trainer_step(trainer *self, const size_t *order, size_t steps, step_report *out, rubato_error *error);

#endif
