/* A model's exits: loading, making and writing down what rubato.json tells of them. */
#ifndef RUBATO_TASK_LOAD_EXITS_H
#define RUBATO_TASK_LOAD_EXITS_H

#include "task/model.h"

/* Loads the exits that rubato.json (`notes`) tells of; bound NULL: to be run only. */
rubato_status model_load_exits(rubato_model *model, const json_t *notes, bindings *bound, rubato_error *error);

/* Gives a model that was loaded for learning exits after the given layers (from 0): those that it has where they are of
 * that kind and read the same, else new ones. EXIT_NONE takes them away. Fails: WRONG_TASK where the main head answers
 * neither for sequences nor for tokens. */
rubato_status model_make_exits(rubato_model *model, exit_kind kind, bool reads_mean, const exit_setting *rule,
                               const size_t *layers, size_t count, uint64_t seed, rubato_error *error);

/* Tells of exits in rubato.json's object. */
rubato_status exits_note(const exits *self, json_t *object, rubato_error *error);

#endif
