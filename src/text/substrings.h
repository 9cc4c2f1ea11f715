/* Repeated substrings of words: the candidates of a unigram vocabulary. */
#ifndef RUBATO_TEXT_SUBSTRINGS_H
#define RUBATO_TEXT_SUBSTRINGS_H

#include <stdint.h>

#include "base/error.h"

enum { SUBSTRING_MOST = 16 }; /* characters of the longest one */

typedef struct substring {
    uint64_t count; /* places */
    size_t rank;    /* of its first place among all suffixes in alphabetical order */
    uint32_t at;    /* a place: an index into the codes */
    uint32_t length;
} substring;

typedef struct substrings {
    substring *items; /* [count] by falling count x length, then by falling alphabetical order */
    size_t count, capacity;
} substrings;

/* Finds the substrings of 2 to SUBSTRING_MOST characters that stand in several places and are followed by different
 * characters there, or by a character and by the end of a word: the inner nodes of a suffix tree. Others are always
 * part of a longer one. `codes` [count]: words, each with a 0 behind it. Fails: BAD_ARGUMENT from 2^32 codes on,
 * OUT_OF_MEMORY. */
rubato_status substrings_find(substrings *out, const uint32_t *codes, size_t count, rubato_error *error);
void substrings_free(substrings *self);

#endif
