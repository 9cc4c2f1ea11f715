/* The state that layers keep from one segment of a text to the next: earlier states (Dai et al. 2019), compressed
 * states (Rae et al. 2020), the running sums of linear attention (Katharopoulos et al. 2020).
 *
 * A state belongs to the caller of several passes, who sets it in the run. Each layer has one slot; a pass reads the
 * slot and then replaces its contents. Gradients do not flow from one segment into the previous one. */
#ifndef RUBATO_TENSOR_STATE_H
#define RUBATO_TENSOR_STATE_H

#include "tensor/run.h"

/* The rows that a layer kept, and the offsets of each sequence. */
typedef struct kept_rows {
    tensor rows;         /* data is NULL where no rows were kept */
    const size_t *start; /* [sequences + 1] */
    size_t sequences;
} kept_rows;

/* Fails: OUT_OF_MEMORY. */
rubato_status run_state_create(run_state **self, size_t layers, rubato_error *error);
void run_state_destroy(run_state *self);

/* Forgets all rows: the next segment is the first of a text. */
void run_state_clear(run_state *self);

/* The rows of each sequence in the passes so far; 0 for sequences that were not there, and in a run without a state. */
size_t run_seen(const run *self, size_t sequence);

/* Counts the rows of a pass that is over. start [sequences + 1]. */
void run_count_seen(const run *self, const size_t *start, size_t sequences);

/* The rows that the layer kept last. They stay valid until the layer keeps others. Empty in a run without a state. */
kept_rows run_kept(const run *self, size_t layer);

/* Makes the layer keep a copy of these rows instead of the earlier ones; does nothing in a run without a state. start
 * [sequences + 1]. */
void run_keep(const run *self, size_t layer, tensor rows, const size_t *start, size_t sequences);

#endif
