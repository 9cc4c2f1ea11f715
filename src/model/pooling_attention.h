/* Pooling by attention (Lee et al. 2019, Set Transformer, PMA with one seed): a learned row sees all rows of a sequence
 * and becomes the row that the head reads. With the seed's query q = W_q s + b_q and keys and values of the rows, h =
 * LN(q + heads(q, K, V)),   out = LN(h + relu(W h + b)), where scores are divided by the square root of the whole
 * width, as the authors do. */
#ifndef RUBATO_MODEL_POOLING_ATTENTION_H
#define RUBATO_MODEL_POOLING_ATTENTION_H

#include "elastic/batch.h"
#include "store/loader.h"
#include "tensor/run.h"

typedef struct pooling_attention {
    table seed;                         /* [1, width]; data NULL: there is no such pooling */
    linear query, keys_values, forward; /* keys and values are stacked */
    norm norms[2];
    size_t heads;
} pooling_attention;

/* Loads "pooling_attention.seed" and so on, or draws them with `fresh`. Fails as the loader; UNSUPPORTED where the
 * width is no multiple of the heads. */
rubato_status pooling_attention_load(pooling_attention *self, loader *load, size_t width, size_t heads, float epsilon);

/* [sequences, width] */
tensor pooling_attention_forward(const pooling_attention *self, const run *on, tensor x, const batch *packed);

/* Operations for a sequence of that many rows. */
double pooling_attention_flops(const pooling_attention *self, size_t rows);

#endif
