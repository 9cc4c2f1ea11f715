/* Calibrating exits (Guo et al. 2017). */
#ifndef RUBATO_TRAIN_TEMPERATURE_H
#define RUBATO_TRAIN_TEMPERATURE_H

#include "train/trainer.h"

/* Gives every exit of the model in the output folder the temperature at which the dev set's labels are likeliest, all
 * of the set leaving there, and writes it into rubato.json. For classification; nothing for other tasks. */
rubato_status temperatures_fit(const trainer *self, rubato_error *error);

#endif
