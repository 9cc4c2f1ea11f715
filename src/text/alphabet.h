/* The characters of words. */
#ifndef RUBATO_TEXT_ALPHABET_H
#define RUBATO_TEXT_ALPHABET_H

#include "text/trained_vocabulary.h"
#include "text/word_counts.h"

typedef struct letter {
    uint32_t code; /* code point */
    uint64_t count;
} letter;

typedef struct alphabet {
    letter *items; /* [count] by code points */
    size_t count;
} alphabet;

/* The characters of the words. options->always are in it, and count as the most frequent ones. Where there are more
 * than options->alphabet, the most frequent characters stay; of equally frequent ones, those with lower code points.
 * Words are valid UTF-8. Fails: OUT_OF_MEMORY. */
rubato_status alphabet_of(alphabet *out, const word_counts *words, const token_options *options, rubato_error *error);

/* The beginning of every vocabulary: its special tokens, which become the first tokens of `out`, and its alphabet.
 * Fails: OUT_OF_MEMORY. The caller frees *letters in any case. */
rubato_status vocabulary_begin(trained_vocabulary *out, alphabet *letters, const word_counts *words,
                               const token_options *options, rubato_error *error);
void alphabet_free(alphabet *self);

#endif
