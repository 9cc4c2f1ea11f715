/* The family of a folder's model. */
#ifndef RUBATO_TASK_LOAD_FAMILY_H
#define RUBATO_TASK_LOAD_FAMILY_H

#include "task/model.h"

/* The first class that config.json names in "architectures", or NULL. */
const char *model_architecture(const json_t *config);

/* Sets the model's kind by config.json's model_type. Where that is missing or not known, the first of
 * "architectures" counts, and where there is none either, the names of the tensors in the model's folder, if they can
 * be of one family alone; then model_type is set too, and a warning says so. Fails: UNSUPPORTED, and as
 * checkpoint_open. */
rubato_status model_find_family(rubato_model *model, const json_t *config, file_reading how, rubato_error *error);

#endif
