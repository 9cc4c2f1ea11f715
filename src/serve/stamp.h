/* Whether the files of a model's folder are still those that were loaded: their sizes, times of change and inodes. */
#ifndef RUBATO_SERVE_STAMP_H
#define RUBATO_SERVE_STAMP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

typedef struct stamp stamp;

/* The files that a model may be read from, in a folder and in the folders within: at most some hundreds. A folder that
 * cannot be read has none. */
rubato_status stamp_take(stamp **out, const char *folder, rubato_error *error);
void stamp_free(stamp *self);

/* Whether a file changed, came or went between two stamps of one folder; its name. */
bool stamp_differs(const stamp *before, const stamp *now, char *name, size_t bytes);

/* Whether a file was written to after that moment, in seconds since 1970; its name. */
bool stamp_since(const stamp *self, double seconds, char *name, size_t bytes);

/* The time now, in seconds since 1970. */
double stamp_now(void);

#endif
