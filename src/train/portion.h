/* A portion: samples laid out as one packed batch, with the answers that they should get. */
#ifndef RUBATO_TRAIN_PORTION_H
#define RUBATO_TRAIN_PORTION_H

#include "elastic/batch.h"
#include "train/recipe.h"
#include "train/samples.h"

typedef struct portion {
    batch packed;
    batch taught;                 /* the same in the teacher's tokens, where these are others; else packed */
    const sample *const *samples; /* of each sequence; a pair's two sequences have the same */
    size_t items;                 /* the number that the loss counts */
    int32_t *labels;              /* classification [sequences]; tagging and masked LM [rows] */
    int32_t *starts, *ends;
    float *values;
    const float **targets; /* several labels at once: [sequences] */
} portion;

/* Lays samples out in the arena; masks tokens by `key` for masked LM. False when memory is short. */
bool portion_create(portion *self, const trainer *by, const sample *const *samples, size_t count, uint64_t key,
                    arena *memory);

#endif
