/* A .npy file that is written row by row, in bounded memory, and can be continued after an interruption:
 *
 *   FILE.part       the rows so far, behind a header
 *   FILE.part.json  how many of them are complete, and from what they were made
 *
 * A finished file replaces FILE. */
#ifndef RUBATO_CLI_VECTOR_FILE_H
#define RUBATO_CLI_VECTOR_FILE_H

#include "cli/command.h"

typedef struct vector_file vector_file;

/* Opens FILE.part for rows of `columns` numbers. `made_by` describes the model and the options; rows of an interrupted
 * command are continued only where it is equal. Reports a failure and returns the exit status; the caller closes then,
 * too. */
int vector_file_open(vector_file **out, const arguments *given, size_t columns, const char *made_by);

/* Of the rows of the input that come next, the number that an earlier command has written already. */
size_t vector_file_known(const vector_file *self);

/* Takes the next row of the input. Reports an input that is not the earlier command's. */
int vector_file_take(vector_file *self, const record *row);

/* Adds rows, [count, columns]; NULL: one row of NaN. */
int vector_file_add(vector_file *self, const float *rows, size_t count);

/* Makes sure that what was added stays after an interruption. */
int vector_file_keep(vector_file *self);

size_t vector_file_rows(const vector_file *self);

/* Puts the finished file into its place. */
int vector_file_finish(vector_file *self);

/* Accepts NULL. */
void vector_file_close(vector_file *self);

#endif
