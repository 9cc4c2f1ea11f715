/* What the data of a run hold, told before the first step. */
#ifndef RUBATO_TRAIN_SUMMARY_H
#define RUBATO_TRAIN_SUMMARY_H

#include "train/trainer.h"

/* Calls options->data_read for the training data and the dev data. Fails: OUT_OF_MEMORY. */
rubato_status trainer_summarize(const trainer *self, rubato_error *error);

#endif
