/* Calibrating exits (Guo et al. 2017). */
#ifndef RUBATO_TRAIN_TEMPERATURE_H
#define RUBATO_TRAIN_TEMPERATURE_H

#include "train/trainer.h"

/* Gives every exit of the model in the output folder a temperature and writes it into rubato.json: the temperature at
 * which the dev set's labels are likeliest when all texts leave by that exit. For classification; other tasks get none.
 */
rubato_status temperatures_fit(const trainer *self, rubato_error *error);

#endif
