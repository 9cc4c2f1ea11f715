/* The files that sentence-transformers stores beside an encoder. */
#ifndef RUBATO_TASK_LOAD_SENTENCE_H
#define RUBATO_TASK_LOAD_SENTENCE_H

#include "task/model.h"

/* Loads it for the encoder in `folder`; load NULL: without weights, as much as the configuration says. */
rubato_status model_load_sentence(rubato_model *model, loader *load, const json_t *modules, const char *folder,
                                  const json_t *config, rubato_error *error);

#endif
