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

/* The characters of the words and those of options->always, which have the highest count; of more than
 * options->alphabet the most frequent ones, of equally frequent ones the lower code points. Words are valid UTF-8.
 * Fails: OUT_OF_MEMORY. */
rubato_status alphabet_of(alphabet *out, const word_counts *words, const token_options *options, rubato_error *error);
void alphabet_free(alphabet *self);

#endif
