/* Helper functions over jansson: files and members, with errors that name the position. */
#ifndef RUBATO_BASE_JSON_H
#define RUBATO_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

/* Parses a whole file (at most `limit` bytes) that must hold an object or array. *value is the caller's. */
rubato_status json_read_file(json_t **value, const char *path, size_t limit, rubato_error *error);

/* Parses bytes; `name` is used in messages. Any type of value is allowed. */
rubato_status json_read_bytes(json_t **value, const char *bytes, size_t size, const char *name, rubato_error *error);

/* A member, or the default where it is missing or null. A member of another type is an error that names it. */
rubato_status json_get_size(size_t *out, const json_t *object, const char *key, size_t otherwise, rubato_error *error);
rubato_status json_get_real(double *out, const json_t *object, const char *key, double otherwise, rubato_error *error);
rubato_status json_get_bool(bool *out, const json_t *object, const char *key, bool otherwise, rubato_error *error);
rubato_status json_get_text(const char **out, const json_t *object, const char *key, const char *otherwise,
                            rubato_error *error);

#endif
