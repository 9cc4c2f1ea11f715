/* Tensors of a forward pass that are kept for losses.
 *
 * Losses name the tensors that they need; a forward pass then keeps them for the embeddings and for every layer that
 * runs. The same holds for a learner and for its teacher, so a loss finds both in the same form. */
#ifndef RUBATO_TRAIN_OBSERVED_H
#define RUBATO_TRAIN_OBSERVED_H

#include "model/encoder.h"

typedef struct observation {
    watch_kind what;
    size_t number; /* of the layer, from 1; 0: the embeddings */
    tensor rows;
    batch packed;        /* the sequences of the rows */
    const size_t *alive; /* the original row of each row; NULL: all rows are there */
    size_t heads;        /* of queries, keys and values */
} observation;

/* In the order of the pass. All zero: nothing was observed. */
typedef struct observed {
    size_t count, capacity;
    observation *at; /* in the run's arena */
} observed;

/* Runs a batch as encoder_forward does and keeps the tensors that `wanted` names, as bits of watch_kind (not
 * WATCH_SCORES, which exist for a block of queries alone). A run without a tape overwrites its tensors, so they are
 * copied, into the arena of `learns_on` where that is not NULL: then the copies have gradients, and exits can learn
 * from a model that stays as it is. Failures are the runs'. */
void observe_forward(const encoder *body, const run *on, const run *learns_on, const batch *input, const thinning *thin,
                     unsigned wanted, observed *seen, encoded *out);

/* Observation number `index` among those of one kind; NULL after the last. */
const observation *observed_find(const observed *self, watch_kind what, size_t index);

/* The observation of a layer's tensor, from 1; 0: the embeddings. NULL where the layer did not run. */
const observation *observed_at(const observed *self, watch_kind what, size_t number);

#endif
