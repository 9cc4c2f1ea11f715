/* The quality of a model in training. */
#ifndef RUBATO_TRAIN_JUDGE_H
#define RUBATO_TRAIN_JUDGE_H

#include "train/trainer.h"

/* The name of the metric that decides for this task. */
const char *trainer_metric(const trainer *self);

/* Judges the model on the dev set at the phase's points and writes a line of metrics. Writes the output folder if the
 * model is the best so far. */
rubato_status trainer_judge(trainer *self, double *value, rubato_error *error);

#endif
