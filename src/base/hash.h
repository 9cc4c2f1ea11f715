/* A hash of bytes, to notice that a file or a data set is another one. It is no protection against intent. */
#ifndef RUBATO_BASE_HASH_H
#define RUBATO_BASE_HASH_H

#include <stdio.h>
#include <string.h>

#include "base/random.h"

/* Continues a hash (0 at the beginning) with bytes; their number counts too. */
static inline uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    uint64_t word;
    hash = random_hash(hash ^ size);
    for (; size >= sizeof word; at += sizeof word, size -= sizeof word) {
        memcpy(&word, at, sizeof word);
        hash = random_hash(hash ^ word);
    }
    word = 0;
    if (size) memcpy(&word, at, size);
    return size ? random_hash(hash ^ word) : hash;
}

/* The same with a text; NULL differs from every text. */
static inline uint64_t hash_text(uint64_t hash, const char *text) {
    return text ? hash_bytes(hash, text, strlen(text)) : random_hash(~hash);
}

/* Sixteen digits. */
static inline void hash_write(char out[17], uint64_t hash) {
    snprintf(out, 17, "%016llx", (unsigned long long)hash);
}

#endif
