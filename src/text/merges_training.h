/* Training of merges: from the characters of words, the most frequent pair of neighbouring tokens becomes one token,
 * again and again (Sennrich et al. 2016, Neural Machine Translation of Rare Words with Subword Units). WordPiece's
 * vocabularies are made in the same way, with a mark before the tokens that continue a word. */
#ifndef RUBATO_TEXT_MERGES_TRAINING_H
#define RUBATO_TEXT_MERGES_TRAINING_H

#include "text/trained_vocabulary.h"
#include "text/word_counts.h"

/* Of equally frequent pairs, the one with the lower first id, then the lower second one, is merged first, as in the
 * library tokenizers. There the characters that continue words get their ids from words in a random order; here it is
 * the order in which the words were counted first. The result may have fewer tokens than asked for. Words are valid
 * UTF-8. Fails: BAD_ARGUMENT where special tokens and alphabet are more than the vocabulary, CANCELLED, OUT_OF_MEMORY.
 * The caller frees *out in any case. */
rubato_status merges_train(trained_vocabulary *out, const word_counts *words, const token_options *options,
                           rubato_error *error);

#endif
