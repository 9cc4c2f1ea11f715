/* Error construction. */
#include "base/error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { MOST_BYTES = 16384, HEAD_BYTES = 160 };

static bool is_continuation(char byte) {
    return ((unsigned char)byte & 0xc0) == 0x80;
}

/* Of a message that is too long, which names a long path, the middle is left out: the end says what to do. */
static void shorten(char *out, size_t bytes, const char *whole, size_t length) {
    size_t head = length < bytes ? length : HEAD_BYTES, tail = length < bytes ? length : length - (bytes - 4 - head);
    while (head < length && is_continuation(whole[head])) head--;
    while (tail < length && is_continuation(whole[tail])) tail++;
    snprintf(out, bytes, "%.*s%s%s", (int)head, whole, head < length ? "..." : "", whole + tail);
}

static void fill(rubato_error *error, rubato_status code, size_t line, const char *format, va_list arguments) {
    char whole[MOST_BYTES];
    if (!error) return;
    error->code = code;
    error->line = line;
    vsnprintf(whole, sizeof whole, format, arguments);
    shorten(error->message, sizeof error->message, whole, strlen(whole));
    /* the name of a file or tensor may hold line breaks, but the message stays one line */
    for (char *c = error->message; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
}

rubato_status fail(rubato_error *error, rubato_status code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fill(error, code, 0, format, arguments);
    va_end(arguments);
    return code;
}

rubato_status fail_line(rubato_error *error, rubato_status code, size_t line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fill(error, code, line, format, arguments);
    va_end(arguments);
    return code;
}

rubato_status fail_memory(rubato_error *error) {
    return fail(error, RUBATO_OUT_OF_MEMORY, "out of memory");
}

rubato_status fail_within(rubato_error *error, rubato_status code, const char *prefix) {
    if (!error) return code;
    char message[sizeof error->message];
    memcpy(message, error->message, sizeof message);
    return fail_line(error, code, error->line, "%s: %s", prefix, message);
}

static const char *const texts[] = {
#define TEXT(name, value, text) [value] = text,
    RUBATO_STATUS_MAP(TEXT)
#undef TEXT
};

const char *rubato_status_text(rubato_status status) {
    size_t index = (size_t)status;
    return index < sizeof texts / sizeof texts[0] && texts[index] ? texts[index] : "unknown status";
}
