/* The tokens that training makes. */
#ifndef RUBATO_TEXT_TRAINED_VOCABULARY_H
#define RUBATO_TEXT_TRAINED_VOCABULARY_H

#include "base/error.h"
#include "base/string_table.h"

/* The tokens by their ids, special tokens first. Merges: the alphabet follows in the order of code points, with a mark
 * the characters that continue words as the words have them, then the merged tokens in their order. Unigram: pieces
 * follow by falling scores. */
typedef struct trained_vocabulary {
    string_table tokens;
    uint32_t (*merges)[2]; /* [merge_count] pairs of ids, in their order */
    size_t merge_count, merge_capacity;
    double *scores;    /* unigram: [tokens.count] log probabilities; else NULL */
    size_t characters; /* of the alphabet */
} trained_vocabulary;

void trained_vocabulary_free(trained_vocabulary *self);

#endif
