/* The tokens that training makes, and what is asked of it. */
#ifndef RUBATO_TEXT_TRAINED_VOCABULARY_H
#define RUBATO_TEXT_TRAINED_VOCABULARY_H

#include "base/error.h"
#include "base/string_table.h"

/* What a vocabulary shall have. */
typedef struct token_options {
    size_t tokens;          /* the size of the vocabulary */
    uint64_t least_count;   /* merges: rarer pairs are not merged */
    size_t alphabet;        /* the most characters; the rarest are left out. SIZE_MAX: all */
    const uint32_t *always; /* [always_count] characters that are in the alphabet whatever the words have */
    size_t always_count;
    const char *const *specials; /* [special_count] the first tokens */
    size_t special_count;
    const char *mark;                                     /* merges: before a token that continues a word; NULL: none */
    int (*progress)(void *user, size_t done, size_t all); /* not 0: CANCELLED. NULL: none */
    void *progress_user;
} token_options;

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
