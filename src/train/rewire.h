/* Ordering heads and neurons by importance, so that the first ones of a layer are its best (Hou et al. 2020). */
#ifndef RUBATO_TRAIN_REWIRE_H
#define RUBATO_TRAIN_REWIRE_H

#include "train/trainer.h"

/* Measures what each head and neuron is worth by the first training samples and sorts them within their layers. A head
 * is worth |dl/dm| of a factor m on its probabilities; as it passes through the output projection alone, that is the
 * absolute value of sum W dW over the head's columns. A neuron is worth |sum W1 dW1 + b1 db1| + |sum W2 dW2|. Absolute
 * values are taken a batch. The whole model gives what it gave, up to the order of its sums. Gradients are zero
 * afterwards. (The authors use the dev set; it would then say nothing any more.) */
rubato_status rewire(trainer *self, rubato_error *error);

#endif
