/* How good a model in training is. */
#ifndef RUBATO_TRAIN_JUDGE_H
#define RUBATO_TRAIN_JUDGE_H

#include "train/trainer.h"

/* Name of the metric by which models of this task are judged. */
const char *trainer_metric(const trainer *self);

/* Judges the model on the dev set at the phase's points, writes a line of metrics, and where it is the best so far the
 * output folder. */
rubato_status trainer_judge(trainer *self, double *value, rubato_error *error);

#endif
