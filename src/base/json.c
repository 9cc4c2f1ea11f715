/* Helper functions over jansson. */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"

enum { FLAGS = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL };

rubato_status json_read_bytes(json_t **value, const char *bytes, size_t size, const char *name, rubato_error *error) {
    json_error_t where;
    *value = json_loadb(bytes, size, FLAGS | JSON_DECODE_ANY, &where);
    if (*value) return RUBATO_OK;
    if (json_error_code(&where) == json_error_out_of_memory) return fail_memory(error);
    return fail(error, RUBATO_BAD_DATA, "%s: not valid JSON at line %d, column %d: %s", name, where.line, where.column,
                where.text);
}

rubato_status json_read_file(json_t **value, const char *path, size_t limit, rubato_error *error) {
    char *data;
    size_t size;
    *value = NULL;
    TRY(file_read(&data, &size, path, limit, error));
    rubato_status status = json_read_bytes(value, data, size, path, error);
    free(data);
    if (status == RUBATO_OK && !json_is_object(*value) && !json_is_array(*value)) {
        json_decref(*value);
        *value = NULL;
        status = fail(error, RUBATO_BAD_DATA, "%s: neither an object nor an array", path);
    }
    return status;
}

static bool missing(const json_t *value) {
    return !value || json_is_null(value);
}

static rubato_status fail_type(rubato_error *error, const char *key, const char *wanted) {
    return fail(error, RUBATO_BAD_MODEL, "\"%s\" should be %s", key, wanted);
}

rubato_status json_get_size(size_t *out, const json_t *object, const char *key, size_t otherwise, rubato_error *error) {
    const json_t *value = json_object_get(object, key);
    *out = otherwise;
    if (missing(value)) return RUBATO_OK;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return fail_type(error, key, "a whole number, not negative");
    *out = (size_t)json_integer_value(value);
    return RUBATO_OK;
}

rubato_status json_get_real(double *out, const json_t *object, const char *key, double otherwise, rubato_error *error) {
    const json_t *value = json_object_get(object, key);
    *out = otherwise;
    if (missing(value)) return RUBATO_OK;
    if (!json_is_number(value)) return fail_type(error, key, "a number");
    *out = json_number_value(value);
    return RUBATO_OK;
}

rubato_status json_get_bool(bool *out, const json_t *object, const char *key, bool otherwise, rubato_error *error) {
    const json_t *value = json_object_get(object, key);
    *out = otherwise;
    if (missing(value)) return RUBATO_OK;
    if (!json_is_boolean(value)) return fail_type(error, key, "true or false");
    *out = json_is_true(value);
    return RUBATO_OK;
}

rubato_status json_get_text(const char **out, const json_t *object, const char *key, const char *otherwise,
                            rubato_error *error) {
    const json_t *value = json_object_get(object, key);
    *out = otherwise;
    if (missing(value)) return RUBATO_OK;
    if (!json_is_string(value)) return fail_type(error, key, "a string");
    *out = json_string_value(value);
    return RUBATO_OK;
}
