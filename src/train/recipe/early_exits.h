/* Functions that recipes of early exits share. */
#ifndef RUBATO_TRAIN_RECIPE_EARLY_EXITS_H
#define RUBATO_TRAIN_RECIPE_EARLY_EXITS_H

#include "train/trainer.h"

/* Weights of the exits' losses, by the recipe's properties; returns the weight of the model's own head. */
double weigh_exits(const trainer *self, exits_setting *out);

enum { JUDGED_EXITS = 3 };

/* Points that show the quality of exits: every text leaves at a low, a middle or a high exit. out [JUDGED_EXITS];
 * returns their number, which is smaller in models with fewer exits. */
size_t judged_exits(const trainer *self, point *out);

#endif
