/* Helper functions over jansson: files and members, with errors that name the position. */
#ifndef RUBATO_BASE_JSON_H
#define RUBATO_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

/* Parses a whole file (at most `limit` bytes) that must hold an object or array. *value is the caller's. */
rubato_status json_read_file(json_t **value, const char *path, size_t limit, rubato_error *error);

/* Parses bytes; `name` is used in messages. Any type of value is allowed. It reads what Python's json module reads: of
 * equal keys the last one holds, an integer beyond 64 bits becomes a real, NaN and the infinities become null. */
rubato_status json_read_bytes(json_t **value, const char *bytes, size_t size, const char *name, rubato_error *error);

/* The same for standard JSON alone: an object or array without equal keys. */
rubato_status json_read_strict(json_t **value, const char *bytes, size_t size, const char *name, rubato_error *error);

/* The same for a text of which the caller makes the message; flags and *where are jansson's. Fails: OUT_OF_MEMORY, or
 * BAD_DATA. */
rubato_status json_parse(json_t **value, const char *bytes, size_t size, size_t flags, json_error_t *where);

/* A member, or the default where it is missing or null. A member of another type is an error that names it. */
rubato_status json_get_size(size_t *out, const json_t *object, const char *key, size_t otherwise, rubato_error *error);
rubato_status json_get_real(double *out, const json_t *object, const char *key, double otherwise, rubato_error *error);
rubato_status json_get_bool(bool *out, const json_t *object, const char *key, bool otherwise, rubato_error *error);
rubato_status json_get_text(const char **out, const json_t *object, const char *key, const char *otherwise,
                            rubato_error *error);

/* The same for members that hold members: NULL where it is missing or null. */
rubato_status json_get_list(const json_t **out, const json_t *object, const char *key, rubato_error *error);
rubato_status json_get_object(const json_t **out, const json_t *object, const char *key, rubato_error *error);

/* Whether Python takes a value for true: it is there, and is none of null, false, 0, "", [] and {}. */
bool json_truth(const json_t *value);

/* A key whose value, where Python takes it for true, is not supported; and why, for the message. */
typedef struct json_refusal {
    const char *key, *why;
} json_refusal;

/* Fails with UNSUPPORTED and names the first key of the list that an object (or NULL) has set. The list ends with a
 * NULL key. */
rubato_status json_refuse(const json_t *object, const json_refusal *list, rubato_error *error);

/* Building values. Once memory is short, the value that is built becomes NULL: what is put into it later goes, and a
 * value that it is put into becomes NULL too. So the outermost one is looked at once, at the end. json_put and json_add
 * take over the value. */
void json_put(json_t **object, const char *key, json_t *value);
void json_add(json_t **array, json_t *value);

/* Sets a member of an object that stays the caller's; takes over the value. Fails: OUT_OF_MEMORY, also where value is
 * NULL. */
rubato_status json_set(json_t *object, const char *key, json_t *value, rubato_error *error);

/* Writes a file, whole or not at all; flags are jansson's. */
rubato_status json_write_file(const json_t *value, const char *path, size_t flags, rubato_error *error);

#endif
