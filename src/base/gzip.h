/* Files that gzip compressed. */
#ifndef RUBATO_BASE_GZIP_H
#define RUBATO_BASE_GZIP_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"

/* Whether a name ends in ".gz". */
bool gzip_named(const char *path);

/* Whether a name ends so, a ".gz" behind it aside. */
bool gzip_name_ends(const char *path, const char *ending);

/* Opens a compressed file as a stream of its contents; NULL with errno set. A damaged or cut file makes reading fail
 * (ferror). *raw, when not NULL, receives the descriptor of the compressed file, whose position tells the progress; it
 * belongs to the stream. */
FILE *gzip_open(const char *path, int *raw);

/* Reads all of a compressed file's contents, as file_read does; `limit` is for the contents. */
rubato_status gzip_read(char **data, size_t *size, const char *path, size_t limit, rubato_error *error);

#endif
