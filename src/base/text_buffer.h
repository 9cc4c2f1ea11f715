/* A growing byte string that always ends in NUL. A struct of zero bytes is a valid empty buffer. */
#ifndef RUBATO_BASE_TEXT_BUFFER_H
#define RUBATO_BASE_TEXT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct text_buffer {
    char *data; /* NULL until something is added */
    size_t length, capacity;
    bool failed; /* memory ran out; later additions do nothing */
} text_buffer;

void text_add(text_buffer *buffer, const char *bytes, size_t length);
void text_add_string(text_buffer *buffer, const char *string);
void text_add_format(text_buffer *buffer, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));

/* Adds bytes in base64, with the padding at the end. */
void text_add_base64(text_buffer *buffer, const unsigned char *bytes, size_t size);

void text_clear(text_buffer *buffer);
void text_free(text_buffer *buffer);

/* A copy of the first `length` bytes with a NUL, or NULL. */
char *text_copy(const char *bytes, size_t length);

bool text_ends_with(const char *string, const char *end);

#endif
