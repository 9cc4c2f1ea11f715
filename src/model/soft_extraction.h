/* Soft extraction, the first phase of PoWER-BERT (Goyal et al. 2020): rows are not dropped but scaled by learned
 * factors of their rank. */
#ifndef RUBATO_MODEL_SOFT_EXTRACTION_H
#define RUBATO_MODEL_SOFT_EXTRACTION_H

#include "elastic/batch.h"
#include "tensor/run.h"

typedef struct soft_extraction {
    const float *factors; /* [depth][bins]: bin 0 is for the most significant rows */
    float *gradient;      /* the same shape, += when recording */
    size_t bins;
} soft_extraction;

/* Multiplies every row of x by the factor of its rank in its sequence, by `scores` [rows], in layer `number`. */
tensor soften(const run *on, tensor x, const float *scores, const batch *packed, const soft_extraction *by,
              size_t number);

#endif
