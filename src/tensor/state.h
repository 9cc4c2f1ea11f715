/* What layers keep from one segment of a text to the next: the states before a segment (Dai et al. 2019), compressed
 * ones (Rae et al. 2020), the running sums of linear attention (Katharopoulos et al. 2020).
 *
 * A state belongs to the caller of several passes, who names it in the run. Each layer has one slot, which a pass reads
 * and then replaces. Gradients do not flow from one segment into the one before. */
#ifndef RUBATO_TENSOR_STATE_H
#define RUBATO_TENSOR_STATE_H

#include "tensor/run.h"

/* Rows that a layer kept, and where each sequence's begin among them. */
typedef struct kept_rows {
    tensor rows;         /* data is NULL where nothing was kept */
    const size_t *start; /* [sequences + 1] */
    size_t sequences;
} kept_rows;

/* Fails: OUT_OF_MEMORY. */
rubato_status run_state_create(run_state **self, size_t layers, rubato_error *error);
void run_state_destroy(run_state *self);

/* Forgets everything: the next segment is a text's first. */
void run_state_clear(run_state *self);

/* What the layer kept last; it stays valid until the layer keeps something else. Empty in a run without a state. */
kept_rows run_kept(const run *self, size_t layer);

/* The layer keeps a copy of these rows in place of the ones before; nothing in a run without a state. start
 * [sequences + 1]. */
void run_keep(const run *self, size_t layer, tensor rows, const size_t *start, size_t sequences);

#endif
