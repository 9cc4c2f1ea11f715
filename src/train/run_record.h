/* The record of a run in its output folder, so that a run is continued by the same run or by none, and nothing is
 * overwritten by accident:
 *
 *   OUT/training.json         options, hashes of models and data, whether the run has ended
 *   OUT/training.safetensors  the state to continue from (train/checkpoint.c)
 *
 * The folder is locked as long as the run lasts. */
#ifndef RUBATO_TRAIN_RUN_RECORD_H
#define RUBATO_TRAIN_RUN_RECORD_H

#include "train/trainer.h"

/* Writes an option's value as a user would; "" for the default. */
void option_write(const rubato_option *option, const void *options, char *out, size_t bytes);

/* Takes the output folder before anything is loaded. Fails: BAD_ARGUMENT where the folder holds a model or a run that
 * was not asked for, or another process writes it. */
rubato_status run_record_claim(trainer *self, rubato_error *error);

/* Begins the record, or compares it with this run, once models and data are loaded. Fails: BAD_ARGUMENT for a run with
 * other options, models or data; the message names them. */
rubato_status run_record_begin(trainer *self, rubato_error *error);

/* Gives the output folder free, and removes it where this run made it and wrote nothing. */
void run_record_close(trainer *self);

/* Marks the run as ended, and removes its state unless it is to be kept. */
rubato_status run_record_end(trainer *self, rubato_error *error);

#endif
