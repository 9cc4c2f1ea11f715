/* What recipes of early exits share. */
#ifndef RUBATO_TRAIN_RECIPE_EARLY_EXITS_H
#define RUBATO_TRAIN_RECIPE_EARLY_EXITS_H

#include "train/trainer.h"

/* How much the model's own head and each exit count, by the recipe's properties; returns the head's weight. */
double weigh_exits(const trainer *self, exits_setting *out);

enum { JUDGED_EXITS = 3 };

/* Points that show how good exits are: everything leaves at a low, a middle and a high one. out [JUDGED_EXITS]; returns
 * how many there are. */
size_t judged_exits(const trainer *self, point *out);

#endif
