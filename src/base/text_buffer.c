/* A growing byte string. */
#include "base/text_buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

static bool reserve(text_buffer *buffer, size_t more) {
    size_t needed;
    if (buffer->failed) return false;
    if (!checked_add(buffer->length, more, &needed) || !checked_add(needed, 1, &needed)) {
        buffer->failed = true;
        return false;
    }
    if (needed <= buffer->capacity) return true;
    size_t capacity = size_max(needed, size_max(64, buffer->capacity + buffer->capacity / 2));
    char *data = realloc(buffer->data, capacity);
    if (!data) {
        buffer->failed = true;
        return false;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

void text_add(text_buffer *buffer, const char *bytes, size_t length) {
    if (!reserve(buffer, length)) return;
    if (length) memcpy(buffer->data + buffer->length, bytes, length);
    buffer->length += length;
    buffer->data[buffer->length] = 0;
}

void text_add_string(text_buffer *buffer, const char *string) {
    text_add(buffer, string, strlen(string));
}

void text_add_format(text_buffer *buffer, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    if (length >= 0 && reserve(buffer, (size_t)length)) {
        vsnprintf(buffer->data + buffer->length, (size_t)length + 1, format, again);
        buffer->length += (size_t)length;
    }
    va_end(again);
    va_end(arguments);
}

void text_add_base64(text_buffer *buffer, const unsigned char *bytes, size_t size) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        unsigned char three[3] = {0};
        size_t some = size_min(size - i, 3);
        memcpy(three, bytes + i, some);
        char four[4] = {alphabet[three[0] >> 2], alphabet[(three[0] & 3) << 4 | three[1] >> 4],
                        alphabet[(three[1] & 15) << 2 | three[2] >> 6], alphabet[three[2] & 63]};
        if (some < 3) four[3] = '=';
        if (some < 2) four[2] = '=';
        text_add(buffer, four, 4);
    }
}

void text_clear(text_buffer *buffer) {
    buffer->length = 0;
    if (buffer->data) buffer->data[0] = 0;
}

void text_free(text_buffer *buffer) {
    free(buffer->data);
    *buffer = (text_buffer){0};
}

char *text_copy(const char *bytes, size_t length) {
    char *copy = malloc(length + 1);
    if (!copy) return NULL;
    if (length) memcpy(copy, bytes, length);
    copy[length] = 0;
    return copy;
}

bool text_ends_with(const char *string, const char *end) {
    size_t length = strlen(string), tail = strlen(end);
    return length >= tail && strcmp(string + length - tail, end) == 0;
}
