/* A model's exits: loading them, making them, and describing them in rubato.json. */
#ifndef RUBATO_TASK_LOAD_EXITS_H
#define RUBATO_TASK_LOAD_EXITS_H

#include "task/model.h"

/* Loads the exits that rubato.json (`notes`) describes; bound NULL: the model will not be trained. */
rubato_status model_load_exits(rubato_model *model, const json_t *notes, bindings *bound, rubato_error *error);

/* Gives a model that was loaded for learning exits after the given layers (from 0). Existing exits stay where they are
 * of that kind and read the same input; the others are new. EXIT_NONE removes all. Fails: WRONG_TASK where the main
 * head answers neither for sequences nor for tokens. */
rubato_status model_make_exits(rubato_model *model, exit_kind kind, bool reads_mean, const exit_setting *rule,
                               const size_t *layers, size_t count, uint64_t seed, rubato_error *error);

/* Describes the exits in rubato.json's object. */
rubato_status exits_note(const exits *self, json_t *object, rubato_error *error);

#endif
