/* Converts a value from text and stores it in its field. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/truth.h"
#include "options/table.h"

/* "a, b or c" */
static void list_choices(const rubato_option *option, char *out, size_t bytes) {
    size_t at = 0;
    for (size_t i = 0; option->choice(i) && at < bytes; i++)
        at += (size_t)snprintf(out + at, bytes - at, "%s%s",
                               i == 0                  ? ""
                               : option->choice(i + 1) ? ", "
                                                       : " or ",
                               option->choice(i));
}

static rubato_status set_choice(const rubato_option *option, int *field, const char *value, rubato_error *error) {
    char known[256] = "";
    for (int i = 0; option->choice((size_t)i); i++)
        if (strcmp(option->choice((size_t)i), value) == 0) {
            *field = i;
            return RUBATO_OK;
        }
    list_choices(option, known, sizeof known);
    return fail(error, RUBATO_BAD_ARGUMENT, "\"%.60s\" is not known; use %s", value, known);
}

static rubato_status set_truth(int *field, int off, const char *value, rubato_error *error) {
    bool on;
    if (!truth_read(&on, value))
        return fail(error, RUBATO_BAD_ARGUMENT, "\"%.60s\" is neither true nor false; use %s", value, TRUTH_WORDS);
    *field = on ? 1 : off;
    return RUBATO_OK;
}

static rubato_status parse_whole(const rubato_option *option, unsigned long long *out, const char *value,
                                 rubato_error *error) {
    char *end;
    errno = 0;
    *out = strtoull(value, &end, 10);
    bool whole = !*end && end != value && value[0] != '-' && !errno;
    if (whole && (double)*out >= option->least && (double)*out <= option->most) return RUBATO_OK;
    return fail(error, RUBATO_BAD_ARGUMENT, "\"%.60s\" is not a whole number from %.10g to %.10g", value, option->least,
                option->most);
}

static rubato_status set_real(const rubato_option *option, double *field, const char *value, rubato_error *error) {
    char *end;
    errno = 0;
    double number = strtod(value, &end);
    bool inside = option->open ? number > option->least && number < option->most
                               : number >= option->least && number <= option->most;
    if (!*end && end != value && !errno && inside) {
        *field = number == 0 ? -1 : number;
        return RUBATO_OK;
    }
    if (option->open)
        return fail(error, RUBATO_BAD_ARGUMENT, "\"%.60s\" is not a number between %g and %g", value, option->least,
                    option->most);
    return fail(error, RUBATO_BAD_ARGUMENT, "\"%.60s\" is not a number from %g to %g", value, option->least,
                option->most);
}

rubato_status rubato_option_set(const rubato_option *option, void *options, const char *value, rubato_error *error) {
    void *field = (char *)options + option->offset;
    unsigned long long whole;
    switch (option->type) {
    case RUBATO_OPTION_FLAG: return set_truth(field, 0, value, error);
    case RUBATO_OPTION_SWITCH: return set_truth(field, -1, value, error);
    case RUBATO_OPTION_REAL: return set_real(option, field, value, error);
    case RUBATO_OPTION_CHOICE: return set_choice(option, field, value, error);
    case RUBATO_OPTION_TEXT: *(const char **)field = value; return RUBATO_OK;
    default: break;
    }
    TRY(parse_whole(option, &whole, value, error));
    if (option->type == RUBATO_OPTION_SIZE)
        *(size_t *)field = (size_t)whole;
    else if (option->type == RUBATO_OPTION_SEED)
        *(uint64_t *)field = whole;
    else
        *(int *)field = whole ? (int)whole : -1;
    return RUBATO_OK;
}
