/* LoRA adapters as peft writes them: adapter_config.json, and adapter_model.safetensors or adapter_model.bin. An
 * adapter changes some weights of a base model, W + scaling * B A, and replaces others (heads, biases). It is merged
 * into the base's checkpoint before anything else reads that, so that the result is a whole model. */
#ifndef RUBATO_STORE_ADAPTER_H
#define RUBATO_STORE_ADAPTER_H

#include "store/checkpoint.h"

typedef struct adapter {
    struct json_t *config; /* NULL: there is no adapter */
    checkpoint weights;
    const char *base;         /* the name of its base model */
    const char *architecture; /* a class name of transformers or the end of one; NULL: the base's */
} adapter;

/* Opens the adapter of a folder that has adapter_config.json; else all is zero. Fails: UNSUPPORTED for what is no LoRA
 * that can be merged, with the name of the setting; as checkpoint_open. */
rubato_status adapter_open(adapter *self, const char *folder, file_reading how, rubato_error *error);
void adapter_close(adapter *self);

/* The rows of "NAME.weight" where the adapter replaces it, else 0. */
size_t adapter_rows(const adapter *self, const char *name);

/* Merges the adapter into the checkpoint of its base, which takes over the adapter's file. The names of the encoder's
 * tensors begin with `prefix` in the base and with one of `prefixes` [4], or nothing, in the adapter. Fails: BAD_MODEL,
 * UNSUPPORTED, OUT_OF_MEMORY. */
rubato_status adapter_merge(adapter *self, checkpoint *base, const char *const prefixes[4], const char *prefix,
                            rubato_error *error);

#endif
