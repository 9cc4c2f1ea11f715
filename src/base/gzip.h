/* Files that gzip compressed. */
#ifndef RUBATO_BASE_GZIP_H
#define RUBATO_BASE_GZIP_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"

/* Whether a name ends in ".gz", in small or capital letters. */
bool gzip_named(const char *path);

/* Whether a name ends so, in small or capital letters, a ".gz" behind it aside. Every format that a file's name gives
 * is known by this. */
bool gzip_name_ends(const char *path, const char *ending);

/* Opens a compressed file as a stream of its contents; NULL with errno set. A file that is damaged or cut, or that has
 * something behind its end, makes reading fail (ferror, errno). *raw, when not NULL, receives the descriptor of the
 * compressed file, whose position tells the progress; it belongs to the stream. */
FILE *gzip_open(const char *path, int *raw);

/* The reason in words, of errno behind a failure of gzip_open or of reading. */
const char *gzip_error(int reason);

/* Reads all of a compressed file's contents, as file_read does; `limit` is for the contents. */
rubato_status gzip_read(char **data, size_t *size, const char *path, size_t limit, rubato_error *error);

#endif
