/* Training with the halts that will happen (Li et al. 2021, "Accelerating BERT Inference for Sequence Labeling via
 * Early-Exit", section 3.3). */
#ifndef RUBATO_TRAIN_SELF_SAMPLING_H
#define RUBATO_TRAIN_SELF_SAMPLING_H

#include "train/trainer.h"

/* Where each row of a portion leaves. */
typedef struct sampled_halts {
    const uint8_t *left_after; /* [rows] the layer, from 1, after which it leaves; 255: it does not */
} sampled_halts;

/* Draws a window and a threshold for each sequence and simulates the exits of `by` on it: a fifth of the sequences at
 * the most aggressive setting, two fifths without exits, the others anywhere between. Arrays are the run's. False when
 * memory is short. */
bool halts_sample(sampled_halts *self, const rubato_model *by, const run *on, const batch *packed, uint64_t key);

/* As a departure_function for rows, with a sampled_halts as its user. */
departure_function halts_apply;

#endif
