/* The lines of text files, one after the other, as a stream: memory holds one block of a file and the longest line. */
#ifndef RUBATO_STORE_TEXT_LINES_H
#define RUBATO_STORE_TEXT_LINES_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"

typedef struct text_lines {
    const char *const *paths;
    size_t path_count, path; /* path: the one that is read */
    FILE *stream;            /* NULL: the next file is not open */
    int raw;                 /* its descriptor on the disk */
    bool over;               /* the stream is at its end; the buffer may hold lines */
    char *buffer;
    size_t capacity, begin, end, searched;
    size_t line;        /* number of the last line in its file, from 1 */
    double before, all; /* bytes of the files before this one, and of all */
} text_lines;

/* Opens regular files for reading; names that end in .gz are unpacked. The paths outlive the stream. The caller closes
 * it after a failure as well. Fails: NOT_FOUND, IO, BAD_ARGUMENT without a file. */
rubato_status text_lines_open(text_lines *self, const char *const *paths, size_t count, rubato_error *error);
void text_lines_close(text_lines *self);

/* The next line without its end, valid until the next call; *line is NULL after the last one. Fails: IO; BAD_DATA for
 * bytes that are not UTF-8, a NUL, and a line of more than 64 MiB, with the file and the number of the line. */
rubato_status text_lines_next(text_lines *self, const char **line, size_t *bytes, rubato_error *error);

/* The part of the files that was read. */
double text_lines_share(const text_lines *self);

#endif
