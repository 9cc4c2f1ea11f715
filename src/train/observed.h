/* What a forward pass shows on its way, kept for the losses that read it. */
#ifndef RUBATO_TRAIN_OBSERVED_H
#define RUBATO_TRAIN_OBSERVED_H

#include "model/encoder.h"

typedef struct observation {
    watch_kind what;
    size_t number; /* the layer, from 1; 0: the embeddings */
    tensor rows;
    batch packed;
    const size_t *alive; /* the original rows of these; NULL: all */
    size_t heads;        /* of queries, keys and values */
} observation;

/* All observations of one kind or several, in the order of the pass. */
typedef struct observed {
    const run *on; /* where tensors that the encoder does not keep are copied to; with a tape the copies have gradients,
                      for losses of them alone. NULL: it keeps them */
    size_t count, capacity;
    observation *at; /* in the run's arena */
} observed;

/* A watcher that keeps what it sees in an observed. kinds: bits of watch_kind, not WATCH_SCORES, which exist for a block
 * of queries only. */
watcher observed_watcher(observed *self, unsigned kinds);

/* Observation number `index` among those of one kind; NULL after the last. */
const observation *observed_find(const observed *self, watch_kind what, size_t index);

#endif
