/* A .npy file that is written row by row, in bounded memory, and can be continued after an interruption:
 *
 *   FILE.part       the rows so far, behind a header
 *   FILE.part.json  how many of them are complete, and from what they were made
 *
 * A finished file takes the name FILE. One that is there already is replaced only with --overwrite.
 *
 * An index is such a file with the description behind its rows, as a line of JSON. Its rows can be read again, by a
 * later command with the same model, options and input. */
#ifndef RUBATO_CLI_VECTOR_FILE_H
#define RUBATO_CLI_VECTOR_FILE_H

#include "cli/command.h"

typedef struct vector_file vector_file;

enum { MADE_BY = 512 };

/* out [MADE_BY]: what the vectors of a session depend on. Reports a failure and returns the exit status. */
int vector_file_describe(session *s, const arguments *given, char *out);

/* Opens PATH.part for rows of `columns` numbers. `made_by` describes the model and the options, and lives as long as
 * the file; rows of an interrupted command are continued, and those of an index are used, only where it is equal.
 * Reports a failure and returns the exit status; the caller closes then, too. */
int vector_file_open(vector_file **out, const arguments *given, const char *path, size_t columns, const char *made_by,
                     bool index);

/* Whether an earlier command finished the index. */
bool vector_file_complete(const vector_file *self);

/* Of the rows of the input that come next, the number that an earlier command has written already. */
size_t vector_file_known(const vector_file *self);

/* Of an index, those rows. */
const float *vector_file_known_rows(const vector_file *self);

/* Takes the next row of the input. Reports an input that is not the earlier command's. */
int vector_file_take(vector_file *self, const record *row);

/* Adds rows, [count, columns]; NULL: one row of NaN. */
int vector_file_add(vector_file *self, const float *rows, size_t count);

/* Makes sure that what was added stays after an interruption. */
int vector_file_keep(vector_file *self);

/* Takes a row of the input that has no vector. It has a row of NaN, so that the others keep their numbers, unless
 * --on-error says otherwise. */
int vector_file_refuse(vector_file *self, const arguments *given, const record *row);

/* Puts the finished file into its place. `stopped`: it is not finished; says how the command can be continued. */
int vector_file_finish(vector_file *self, bool stopped);

/* Accepts NULL. */
void vector_file_close(vector_file *self);

#endif
