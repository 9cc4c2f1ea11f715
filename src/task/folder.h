/* The files of a model's folder. */
#ifndef RUBATO_TASK_FOLDER_H
#define RUBATO_TASK_FOLDER_H

#include "base/json.h"

/* The value of FOLDER/NAME, which belongs to the caller; NULL where there is no such file. */
rubato_status model_read_optional(json_t **out, const char *folder, const char *name, rubato_error *error);

/* A folder's rubato.json, whose object belongs to the caller; an empty one where there is no file. */
rubato_status model_read_notes(json_t **out, const char *folder, rubato_error *error);

/* Writes FOLDER/NAME, whole or not at all. */
rubato_status model_write_json(const json_t *value, const char *folder, const char *name, rubato_error *error);

/* The folder of the encoder: `folder`, or the folder below it that modules.json (NULL: none) names. */
void model_encoder_folder(char *out, size_t bytes, const char *folder, const json_t *modules);

/* The folder of the encoder of the base model that an adapter in `folder` names: a model's name, or else a folder
 * beside the adapter. Fails: NOT_FOUND; UNSUPPORTED for an adapter. */
rubato_status model_base_folder(char *out, size_t bytes, const char *folder, const char *name, rubato_error *error);

/* The folder of the tokenizer's files: the encoder's, or its base's where only that has any. */
const char *model_tokenizer_folder(const char *folder, const char *base);

/* The record of a run of training in its output folder, and its member that says whether the run has ended. */
#define TRAINING_RECORD "training.json"
#define TRAINING_ENDED "ended"

#endif
