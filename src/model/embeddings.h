/* Embeddings: the sum of one row from each of up to three tables, normalised, and for some families projected. */
#ifndef RUBATO_MODEL_EMBEDDINGS_H
#define RUBATO_MODEL_EMBEDDINGS_H

#include "elastic/batch.h"
#include "model/family.h"
#include "tensor/operations.h"

typedef struct embeddings {
    table word, position, type; /* position and type: data NULL where the family has none */
    table axes[2];     /* of axial positions: a row of the first for each `axis_length` places, and a row of the
                          second for each of them, side by side; data NULL: none */
    norm norm;         /* gamma NULL where the family has none */
    linear projection; /* out 0: no projection */
} embeddings;

/* Fails as the loader. */
rubato_status embeddings_load(embeddings *self, loader *load, const tensor_names *names, const encoder_config *config);

/* [rows of input, config_width]. The caller has checked that ids and types are in range and that no sequence is longer
 * than the position table. */
tensor embeddings_forward(const embeddings *self, const run *on, const encoder_config *config, const batch *input);

#endif
