/* Writing a model. */
#ifndef RUBATO_TASK_SAVE_H
#define RUBATO_TASK_SAVE_H

#include "task/model.h"

/* Types on disk. */
typedef struct storage {
    dtype rest;   /* F32, F16 or BF16 */
    dtype tables; /* of word and position embeddings: these, or I8; weights of heads and exits are I8 then, too */
} storage;

/* "f32" (also for NULL), "f16", "bf16". Fails: BAD_ARGUMENT. */
rubato_status model_store_type(const char *name, storage *types, rubato_error *error);

/* Writes a model loaded for learning as a folder in Hugging Face layout: configuration, tokenizer, weights under the
 * family's own names, and rubato.json with its points and `notes` (an object, or NULL). Layers that were loaded in bf16
 * or int8 are written as they lie in memory, "NAME.packed" with "NAME.scale" and "NAME.offset", to be mapped.
 * model_save makes the folder; the folder's files change together, or not at all. model_write writes one file after the
 * other into a folder that is there, for callers that stage more than the model. */
rubato_status model_write(const rubato_model *model, const char *folder, storage types, const json_t *notes,
                          rubato_error *error);
rubato_status model_save(const rubato_model *model, const char *folder, storage types, const json_t *notes,
                         rubato_error *error);

/* Writes rubato.json alone. */
rubato_status model_save_points(const frontier *points, const json_t *notes, const char *folder, rubato_error *error);

#endif
