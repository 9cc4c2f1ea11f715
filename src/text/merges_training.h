/* Training of merges: from the characters of words, the most frequent pair of neighbouring tokens becomes one token,
 * again and again (Sennrich et al. 2016, Neural Machine Translation of Rare Words with Subword Units). WordPiece's
 * vocabularies are made in the same way, with a mark before the tokens that continue a word. */
#ifndef RUBATO_TEXT_MERGES_TRAINING_H
#define RUBATO_TEXT_MERGES_TRAINING_H

#include "base/error.h"
#include "base/string_table.h"

/* Words of running text with their numbers; a struct of zero bytes is valid and empty. */
typedef struct word_counts {
    string_table words;
    uint64_t *counts; /* [words.count] */
    size_t capacity;
} word_counts;

/* Counts a word once more. False when memory is short. */
bool word_counts_add(word_counts *self, const char *word, size_t bytes);
void word_counts_free(word_counts *self);

typedef struct merges_options {
    size_t tokens;          /* the size of the vocabulary */
    uint64_t least_count;   /* rarer pairs are not merged */
    size_t alphabet;        /* the most characters; the rarest are left out. SIZE_MAX: all */
    const uint32_t *always; /* [always_count] characters that are in the alphabet whatever the words have */
    size_t always_count;
    const char *const *specials; /* [special_count] the first tokens */
    size_t special_count;
    const char *mark;                                     /* before a token that continues a word; NULL: none */
    int (*progress)(void *user, size_t done, size_t all); /* counts tokens; not 0: CANCELLED. NULL: none */
    void *progress_user;
} merges_options;

/* The tokens by their ids: special tokens, the alphabet in the order of code points, with a mark the characters that
 * continue words as the words have them, then the merged ones in their order. */
typedef struct trained_merges {
    string_table tokens;
    uint32_t (*merges)[2]; /* [merge_count] pairs of ids, in their order */
    size_t merge_count, merge_capacity;
    size_t characters; /* of the alphabet */
} trained_merges;

/* Of equally frequent pairs, the one with the lower first id, then the lower second one, is merged first, as in the
 * library tokenizers. There the characters that continue words get their ids from words in a random order; here it is
 * the order in which the words were counted first. The result may have fewer tokens than asked for. Words are valid
 * UTF-8. Fails: BAD_ARGUMENT where special tokens and alphabet are more than the vocabulary, CANCELLED, OUT_OF_MEMORY.
 * The caller frees *out in any case. */
rubato_status merges_train(trained_merges *out, const word_counts *words, const merges_options *options,
                           rubato_error *error);
void trained_merges_free(trained_merges *self);

#endif
