/* Files of a model's folder. */
#ifndef RUBATO_TASK_FOLDER_H
#define RUBATO_TASK_FOLDER_H

#include "base/json.h"

/* FOLDER/NAME's value, which the caller owns; NULL where there is no such file. */
rubato_status model_read_optional(json_t **out, const char *folder, const char *name, rubato_error *error);

/* A folder's rubato.json, whose object the caller owns; an empty one where there is none. */
rubato_status model_read_notes(json_t **out, const char *folder, rubato_error *error);

/* Writes FOLDER/NAME, whole or not at all. */
rubato_status model_write_json(const json_t *value, const char *folder, const char *name, rubato_error *error);

/* Where the encoder of a folder is: below it, where modules.json (NULL: none) says so. */
void model_encoder_folder(char *out, size_t bytes, const char *folder, const json_t *modules);

#endif
