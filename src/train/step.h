/* One step: samples, passes, gradients, parameters. */
#ifndef RUBATO_TRAIN_STEP_H
#define RUBATO_TRAIN_STEP_H

#include "train/trainer.h"

typedef struct step_report {
    size_t rows, passes;
    double loss;        /* of the first pass, the mean over items */
    double follow_loss; /* the sum over the other passes of the same */
} step_report;

/* Step self->step of `steps` of the phase; order [samples] is the epoch's. */
rubato_status trainer_step(trainer *self, const size_t *order, size_t steps, step_report *out, rubato_error *error);

#endif
