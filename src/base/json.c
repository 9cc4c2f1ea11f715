/* Helper functions over jansson. */
#include "base/json.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text_buffer.h"

/* ---- Whether a text is JSON: functions that skip a part of it, and give NULL where it is none ---- */

enum { MOST_DEPTH = 2048 }; /* jansson's */

static const char *skip_space(const char *at, const char *end) {
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) at++;
    return at;
}

/* The four digits behind \\u. */
static const char *skip_code(const char *at, const char *end, unsigned *code) {
    *code = 0;
    for (int i = 0; i < 4; i++, at++) {
        if (at == end || !isxdigit((unsigned char)*at)) return NULL;
        *code = *code * 16 + (unsigned)(isdigit((unsigned char)*at) ? *at - '0' : (*at | 0x20) - 'a' + 10);
    }
    return at;
}

/* Behind the opening quote. */
static const char *skip_string(const char *at, const char *end) {
    for (; at && at < end; at++) {
        unsigned code, second;
        if (*at == '"') return at + 1;
        if ((unsigned char)*at < 0x20) return NULL;
        if (*at != '\\') continue;
        if (++at == end || !strchr("\"\\/bfnrtu", *at)) return NULL;
        if (*at != 'u') continue;
        if (!(at = skip_code(at + 1, end, &code)) || (code >> 10) == 0xdc00 >> 10) return NULL;
        if (code >> 10 == 0xd800 >> 10) { /* the first of two */
            if (end - at < 6 || at[0] != '\\' || at[1] != 'u') return NULL;
            if (!(at = skip_code(at + 2, end, &second)) || second >> 10 != 0xdc00 >> 10) return NULL;
        }
        at--;
    }
    return NULL;
}

static const char *skip_digits(const char *at, const char *end) {
    const char *first = at;
    while (at < end && isdigit((unsigned char)*at)) at++;
    return at > first ? at : NULL;
}

static const char *skip_number(const char *at, const char *end) {
    if (at < end && *at == '-') at++;
    at = at < end && *at == '0' ? at + 1 : skip_digits(at, end);
    if (at && at < end && *at == '.') at = skip_digits(at + 1, end);
    if (at && at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-')) at++;
        at = skip_digits(at, end);
    }
    return at;
}

/* A number, true, false or null. */
static const char *skip_scalar(const char *at, const char *end) {
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < 3; i++) {
        size_t length = strlen(words[i]);
        if ((size_t)(end - at) >= length && memcmp(at, words[i], length) == 0) return at + length;
    }
    return skip_number(at, end);
}

static const char *skip_value(const char *at, const char *end, int depth) {
    at = skip_space(at, end);
    if (at == end || depth > MOST_DEPTH) return NULL;
    if (*at == '"') return skip_string(at + 1, end);
    if (*at != '{' && *at != '[') return skip_scalar(at, end);
    bool object = *at == '{';
    at = skip_space(at + 1, end);
    if (at < end && *at == (object ? '}' : ']')) return at + 1;
    for (;;) {
        at = skip_space(at, end);
        if (object) {
            if (at == end || *at != '"' || !(at = skip_string(at + 1, end))) return NULL;
            at = skip_space(at, end);
            if (at == end || *at++ != ':') return NULL;
        }
        if (!(at = skip_value(at, end, depth + 1))) return NULL;
        at = skip_space(at, end);
        if (at == end) return NULL;
        if (*at == (object ? '}' : ']')) return at + 1;
        if (*at++ != ',') return NULL;
    }
}

static bool is_json(const char *bytes, size_t size, bool any) {
    const char *end = bytes + size, *at = skip_space(bytes, end);
    if (!any && at < end && *at != '{' && *at != '[') return false;
    at = skip_value(at, end, 1);
    return at && skip_space(at, end) == end;
}

/* jansson does not always say that memory was short: it may give no reason, or call a text damaged that is not. */
rubato_status json_parse(json_t **value, const char *bytes, size_t size, size_t flags, json_error_t *where) {
    *value = json_loadb(bytes, size, flags, where);
    if (*value) return RUBATO_OK;
    enum json_error_code code = json_error_code(where);
    bool none = where->line < 0 || code == json_error_out_of_memory || code == json_error_unknown;
    bool called_damaged = code == json_error_invalid_syntax || code == json_error_premature_end_of_input ||
                          code == json_error_end_of_input_expected;
    return none || (called_damaged && is_json(bytes, size, (flags & JSON_DECODE_ANY) != 0)) ? RUBATO_OUT_OF_MEMORY
                                                                                            : RUBATO_BAD_DATA;
}

/* ---- JSON as Python's json module reads and writes it ---- */

/* Whether an integer, digits without a sign, is beyond 64 bits. */
static bool is_long(const char *digits, size_t count) {
    static const char most[] = "9223372036854775807";
    return count > strlen(most) || (count == strlen(most) && memcmp(digits, most, count) > 0);
}

/* Writes a text again so that jansson reads it: NaN and the infinities are null, integers beyond 64 bits are reals. A
 * text that has neither becomes the same. */
static void make_readable(text_buffer *out, const char *at, const char *end) {
    static const char *const words[] = {"NaN", "Infinity", "-Infinity"};
    while (at < end) {
        const char *next = at + 1;
        if (*at == '"' && (next = skip_string(at + 1, end)) == NULL) next = end;
        bool null = false;
        for (size_t i = 0; i < 3 && !null; i++) {
            size_t length = strlen(words[i]);
            null = (size_t)(end - at) >= length && memcmp(at, words[i], length) == 0;
            if (null) next = at + length;
        }
        if (null) {
            text_add(out, "null", 4);
        } else if (isdigit((unsigned char)*at)) {
            const char *digits = skip_digits(at, end);
            if (!(next = skip_number(at, end))) next = digits;
            text_add(out, at, (size_t)(next - at));
            if (next == digits && is_long(at, (size_t)(next - at))) text_add(out, ".0", 2);
        } else {
            text_add(out, at, (size_t)(next - at));
        }
        at = next;
    }
}

/* Most texts are standard JSON. A text that is not standard is written again. Errors name places in the original text.
 */
static rubato_status parse_python(json_t **value, const char *bytes, size_t size, json_error_t *where) {
    enum { FLAGS = JSON_ALLOW_NUL | JSON_DECODE_ANY };
    rubato_status status = json_parse(value, bytes, size, FLAGS, where);
    if (status != RUBATO_BAD_DATA) return status;
    text_buffer again = {0};
    json_error_t ignored;
    make_readable(&again, bytes, bytes + size);
    status = again.failed ? RUBATO_OUT_OF_MEMORY
                          : json_parse(value, again.data ? again.data : "", again.length, FLAGS, &ignored);
    text_free(&again);
    return status;
}

static rubato_status explain(rubato_status status, const char *name, const json_error_t *where, rubato_error *error) {
    if (status == RUBATO_OK) return RUBATO_OK;
    if (status == RUBATO_OUT_OF_MEMORY) return fail_memory(error);
    return fail(error, RUBATO_BAD_DATA, "%s: not valid JSON at line %d, column %d: %s", name, where->line,
                where->column, where->text);
}

rubato_status json_read_bytes(json_t **value, const char *bytes, size_t size, const char *name, rubato_error *error) {
    json_error_t where;
    rubato_status status = parse_python(value, bytes, size, &where);
    return explain(status, name, &where, error);
}

rubato_status json_read_strict(json_t **value, const char *bytes, size_t size, const char *name, rubato_error *error) {
    json_error_t where;
    rubato_status status = json_parse(value, bytes, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
    return explain(status, name, &where, error);
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

rubato_status json_write_file(const json_t *value, const char *path, size_t flags, rubato_error *error) {
    new_file file;
    TRY(new_file_open(&file, path, error));
    if (json_dumpf(value, file.stream, flags) == 0 && fputc('\n', file.stream) >= 0)
        return new_file_commit(&file, error);
    bool unwritten = ferror(file.stream) != 0;
    new_file_abandon(&file);
    return unwritten ? fail(error, RUBATO_IO, "%s: cannot be written; is the disk full?", path) : fail_memory(error);
}

/* A value that is not whole is let go. */
static void check_built(json_t **value, bool good) {
    if (good) return;
    json_decref(*value);
    *value = NULL;
}

void json_put(json_t **object, const char *key, json_t *value) {
    check_built(object, json_object_set_new(*object, key, value) == 0);
}

void json_add(json_t **array, json_t *value) {
    check_built(array, json_array_append_new(*array, value) == 0);
}

rubato_status json_set(json_t *object, const char *key, json_t *value, rubato_error *error) {
    return json_object_set_new(object, key, value) == 0 ? RUBATO_OK : fail_memory(error);
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

rubato_status json_get_list(const json_t **out, const json_t *object, const char *key, rubato_error *error) {
    const json_t *value = json_object_get(object, key);
    *out = missing(value) ? NULL : value;
    return !*out || json_is_array(value) ? RUBATO_OK : fail_type(error, key, "a list");
}

rubato_status json_get_object(const json_t **out, const json_t *object, const char *key, rubato_error *error) {
    const json_t *value = json_object_get(object, key);
    *out = missing(value) ? NULL : value;
    return !*out || json_is_object(value) ? RUBATO_OK : fail_type(error, key, "an object");
}

bool json_truth(const json_t *value) {
    if (missing(value) || json_is_false(value)) return false;
    if (json_is_number(value)) return json_number_value(value) != 0;
    if (json_is_string(value)) return json_string_length(value) > 0;
    return json_is_true(value) || json_array_size(value) > 0 || json_object_size(value) > 0;
}

rubato_status json_refuse(const json_t *object, const json_refusal *list, rubato_error *error) {
    for (; list->key; list++)
        if (json_truth(json_object_get(object, list->key)))
            return fail(error, RUBATO_UNSUPPORTED, "\"%s\" is not supported: %s", list->key, list->why);
    return RUBATO_OK;
}
