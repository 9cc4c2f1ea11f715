/* The sizes of the texts of a rubato_input. */
#ifndef RUBATO_BASE_INPUT_H
#define RUBATO_BASE_INPUT_H

#include <string.h>

#include "rubato.h"

/* The bytes of a text whose size is given as in a rubato_input. */
static inline size_t input_size(const char *text, size_t bytes) {
    return bytes == RUBATO_EMPTY ? 0 : bytes ? bytes : strlen(text);
}

/* How a rubato_input says that size, which may be 0. */
static inline size_t input_bytes(size_t size) {
    return size ? size : RUBATO_EMPTY;
}

#endif
