/* Training of merges: from the characters of words, the most frequent pair of neighbouring tokens becomes one token,
 * again and again (Sennrich et al. 2016, Neural Machine Translation of Rare Words with Subword Units). WordPiece's
 * vocabularies are made in the same way, with a mark before the tokens that continue a word. */
#ifndef RUBATO_TEXT_MERGES_TRAINING_H
#define RUBATO_TEXT_MERGES_TRAINING_H

#include "text/trained_vocabulary.h"
#include "text/word_counts.h"

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

/* Of equally frequent pairs, the one with the lower first id, then the lower second one, is merged first, as in the
 * library tokenizers. There the characters that continue words get their ids from words in a random order; here it is
 * the order in which the words were counted first. The result may have fewer tokens than asked for. Words are valid
 * UTF-8. Fails: BAD_ARGUMENT where special tokens and alphabet are more than the vocabulary, CANCELLED, OUT_OF_MEMORY.
 * The caller frees *out in any case. */
rubato_status merges_train(trained_vocabulary *out, const word_counts *words, const merges_options *options,
                           rubato_error *error);

#endif
