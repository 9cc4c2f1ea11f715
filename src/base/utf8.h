/* UTF-8: decoding, checking, counting. */
#ifndef RUBATO_BASE_UTF8_H
#define RUBATO_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Index of the first byte that is not valid UTF-8, or `size` when all bytes are valid. Overlong forms, surrogates and
 * values above U+10FFFF are invalid. */
size_t utf8_check(const char *bytes, size_t size);

/* Decodes one code point of valid UTF-8 and returns its length in bytes. */
static inline size_t utf8_next(const unsigned char *s, uint32_t *code) {
    if (s[0] < 0x80) {
        *code = s[0];
        return 1;
    }
    if (s[0] < 0xe0) {
        *code = (uint32_t)(s[0] & 0x1f) << 6 | (s[1] & 0x3f);
        return 2;
    }
    if (s[0] < 0xf0) {
        *code = (uint32_t)(s[0] & 0x0f) << 12 | (uint32_t)(s[1] & 0x3f) << 6 | (s[2] & 0x3f);
        return 3;
    }
    *code =
        (uint32_t)(s[0] & 0x07) << 18 | (uint32_t)(s[1] & 0x3f) << 12 | (uint32_t)(s[2] & 0x3f) << 6 | (s[3] & 0x3f);
    return 4;
}

/* Encodes one code point; returns its length in bytes (1 to 4). */
static inline size_t utf8_put(char *out, uint32_t code) {
    unsigned char *s = (unsigned char *)out;
    if (code < 0x80) {
        s[0] = (unsigned char)code;
        return 1;
    }
    if (code < 0x800) {
        s[0] = (unsigned char)(0xc0 | code >> 6);
        s[1] = (unsigned char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        s[0] = (unsigned char)(0xe0 | code >> 12);
        s[1] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
        s[2] = (unsigned char)(0x80 | (code & 0x3f));
        return 3;
    }
    s[0] = (unsigned char)(0xf0 | code >> 18);
    s[1] = (unsigned char)(0x80 | (code >> 12 & 0x3f));
    s[2] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
    s[3] = (unsigned char)(0x80 | (code & 0x3f));
    return 4;
}

/* The number of code points in valid UTF-8. */
static inline size_t utf8_count(const char *bytes, size_t size) {
    size_t count = 0;
    for (size_t i = 0; i < size; i++) count += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    return count;
}

/* Byte index of the code point number `index` (or `size` when there are fewer). */
size_t utf8_byte_of(const char *bytes, size_t size, size_t index);

#endif
