/* Ordering heads and neurons by importance, so that the first ones of a layer are its best (Hou et al. 2020). */
#ifndef RUBATO_TRAIN_REWIRE_H
#define RUBATO_TRAIN_REWIRE_H

#include "train/trainer.h"

/* Measures the importance of each head and neuron on the first training samples and sorts them within their layers. The
 * importance of a head is |dl/dm| for a factor m on its probabilities. Because the head passes through the output
 * projection alone, that is the absolute value of sum W dW over the head's columns. The importance of a neuron is |sum
 * W1 dW1 + b1 db1| + |sum W2 dW2|. Absolute values are taken for each batch. The results of the whole model do not
 * change, except by the order of its sums. Gradients are zero afterwards. (The authors use the dev set, which would
 * then be no independent judge any more.) */
rubato_status rewire(trainer *self, rubato_error *error);

#endif
