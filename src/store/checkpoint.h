/* The weights of a model folder: one file of tensors or several shards. Tensors are found by name. */
#ifndef RUBATO_STORE_CHECKPOINT_H
#define RUBATO_STORE_CHECKPOINT_H

#include <stdbool.h>

#include "store/tensor_file.h"

typedef struct checkpoint {
    tensor_file *shards;
    size_t shard_count;
    char **used; /* the names of tensors that were marked */
    size_t used_count, used_capacity;
    file_reading how;
    uint64_t hash; /* of all files' bytes, after checkpoint_hash */
} checkpoint;

/* Opens the first of these that the folder has: model.safetensors, the shards of model.safetensors.index.json,
 * pytorch_model.bin, the shards of pytorch_model.bin.index.json. Fails: NOT_FOUND, as tensor_file_open. */
rubato_status checkpoint_open(checkpoint *weights, const char *folder, file_reading how, rubato_error *error);

/* Whether a folder has a file of weights. */
bool checkpoint_is_there(const char *folder);

/* The same for an adapter: adapter_model.safetensors or adapter_model.bin. */
rubato_status checkpoint_open_adapter(checkpoint *weights, const char *folder, file_reading how, rubato_error *error);
void checkpoint_close(checkpoint *weights);

/* Adds the tensors of `over`, in place of those with the same names, whose places in memory no longer count. Takes over
 * both files; of `holder`, in which bytes of `over` may stand, only the bytes stay. */
rubato_status checkpoint_overlay(checkpoint *weights, tensor_file *over, tensor_file *holder, rubato_error *error);

/* The size of its files. */
size_t checkpoint_bytes(const checkpoint *weights);

/* The tensor of that name, or NULL; the old LayerNorm names gamma and beta are tried too. Does not mark it. */
const stored_tensor *checkpoint_find(const checkpoint *weights, const char *name);

/* Gives back the memory of a tensor's bytes, which were copied. Of a checkpoint in memory the tensor is then gone:
 * marking it again is an error. */
void checkpoint_release(const checkpoint *weights, const char *name);

/* Notes that the model uses a tensor, so that unused ones can be listed. Fails: CANCELLED. */
rubato_status checkpoint_mark(checkpoint *weights, const stored_tensor *tensor, rubato_error *error);

/* Calls `visit` for every tensor that was not marked. */
void checkpoint_unused(const checkpoint *weights, void (*visit)(void *user, const stored_tensor *tensor), void *user);

/* Computes weights->hash; before anything is released. */
void checkpoint_hash(checkpoint *weights);

#endif
