/* Numbers as files store them: little-endian, at any alignment. */
#ifndef RUBATO_BASE_LITTLE_H
#define RUBATO_BASE_LITTLE_H

#include <stddef.h>
#include <stdint.h>

/* The number of `count` bytes, at most 8. */
static inline uint64_t little_number(const unsigned char *bytes, size_t count) {
    uint64_t value = 0;
    while (count--) value = value << 8 | bytes[count];
    return value;
}

#endif
