/* Which label of a model a data set's text means. */
#ifndef RUBATO_TASK_LABELS_H
#define RUBATO_TASK_LABELS_H

#include "task/model.h"

/* Finds a label: of exactly that name; else the only one whose name is the same but for upper and lower case; else,
 * where no label's name is a number, the label of that number. Fails: BAD_DATA with the line, where there is none or
 * there are several; the message lists the labels. `file` and `line` are the text's. */
rubato_status label_find(size_t *out, const rubato_info *info, const char *text, const char *file, size_t line,
                         rubato_error *error);

/* The same without a message: whether there is such a label. */
bool label_known(const rubato_info *info, const char *text, size_t *out);

/* Whether somebody gave the model's labels names: LABEL_0, LABEL_1 and so on stand for none. */
bool labels_named(const rubato_info *info);

/* Writes "a, b, c", cut where `bytes` (64 at least) are too few for all. */
void labels_write(const char *const *labels, size_t count, char *out, size_t bytes);

/* Whether a text is no label: NULL, empty, or what a table says for a missing value (nan). */
bool label_missing(const char *text);

#endif
