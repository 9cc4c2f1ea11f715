/* The setting of attending_reformer, for the family that has it. */
#ifndef RUBATO_ATTENTION_REFORMER_ATTENTION_H
#define RUBATO_ATTENTION_REFORMER_ATTENTION_H

#include "attention/attending.h"

typedef struct reformer_setting {
    size_t chunk, rounds;
    size_t buckets; /* 0: by the length */
    uint64_t seed;
    uint32_t second;   /* a second factor of the number of buckets; 0: none */
    uint32_t most;     /* buckets by the length are above this number in two factors; 0: in one */
    uint32_t multiple; /* a text is chunked as if it were padded to a multiple of so many tokens, */
    uint32_t shortest; /* where it has more than these; multiple 0: it is not */
    uint8_t before, after;
    bool torch; /* PyTorch's generator, seeded with `seed`, draws the directions */
} reformer_setting;

/* The tokens of a text with its pads. */
static inline size_t padded_length(size_t length, size_t multiple, size_t shortest) {
    return multiple && length > shortest ? (length + multiple - 1) / multiple * multiple : length;
}

rubato_status reformer_check(const reformer_setting *self, rubato_error *error);

extern const attending attending_reformer;

/* Reformer's other layers (local_attention.c): chunks of neighbouring tokens see each other, and so many before and
 * after them, in a ring. Padded as above. */
typedef struct local_setting {
    size_t chunk, before, after, multiple, shortest;
} local_setting;

extern const attending attending_local;

#endif
