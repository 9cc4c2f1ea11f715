/* The folder that a command writes its model into. */
#ifndef RUBATO_TASK_OUTPUT_FOLDER_H
#define RUBATO_TASK_OUTPUT_FOLDER_H

#include "base/file.h"
#include "task/model.h"

/* Whether something is there that writing a model would replace: a model, or the state of a run of training. */
bool output_is_taken(const char *folder);

/* Refuses a folder that is taken unless it is to be overwritten, and always the folder of a model that is read (NULL:
 * none). Fails: BAD_ARGUMENT. */
rubato_status output_check(const char *folder, const rubato_model *origin, bool overwrite, rubato_error *error);

/* Moves a model's staged files to their places, and removes the files of an earlier model which it does not replace;
 * with `traces` also what a run of training left beside it. */
rubato_status output_commit(staged_files *made, bool traces, rubato_error *error);

/* The same for a command that only writes at its end: the folder must not belong to another process. */
rubato_status output_commit_alone(staged_files *made, rubato_error *error);

#endif
