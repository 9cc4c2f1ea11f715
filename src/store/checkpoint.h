/* The weights of a model folder: one safetensors file or several shards. Tensors are found by name and read as
 * floats. */
#ifndef RUBATO_STORE_CHECKPOINT_H
#define RUBATO_STORE_CHECKPOINT_H

#include <stdbool.h>

#include "store/safetensors.h"

typedef struct checkpoint {
    safetensors *shards;
    size_t shard_count;
    char **used; /* the names of tensors that were marked */
    size_t used_count, used_capacity;
} checkpoint;

/* Opens model.safetensors, or the shards of model.safetensors.index.json, of a folder. */
rubato_status checkpoint_open(checkpoint *weights, const char *folder, rubato_error *error);
void checkpoint_close(checkpoint *weights);

/* The tensor of that name, or NULL; the old LayerNorm names gamma and beta are tried too. Does not mark it. */
const stored_tensor *checkpoint_find(const checkpoint *weights, const char *name);

/* Notes that the model uses a tensor, so that unused ones can be listed. */
rubato_status checkpoint_mark(checkpoint *weights, const stored_tensor *tensor, rubato_error *error);

/* Calls `visit` for every tensor that was not marked. */
void checkpoint_unused(const checkpoint *weights, void (*visit)(void *user, const stored_tensor *tensor), void *user);

/* A hash of all files' bytes. */
uint64_t checkpoint_hash(const checkpoint *weights);

#endif
