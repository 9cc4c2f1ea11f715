/* Training of unigram vocabularies (Kudo 2018, Subword Regularization): from many repeated substrings, those stay
 * without which the words would become much less probable. The result is that of the library tokenizers, whose formulas
 * differ from SentencePiece's in places. */
#ifndef RUBATO_TEXT_UNIGRAM_TRAINING_H
#define RUBATO_TEXT_UNIGRAM_TRAINING_H

#include "text/trained_vocabulary.h"
#include "text/word_counts.h"

/* All characters of the alphabet are pieces, after the special tokens, whose scores are 0; a character outside of it
 * ends a word. Pieces follow by falling scores. The result may have fewer tokens than asked for. Words are valid UTF-8.
 * progress counts passes over words. Fails: BAD_ARGUMENT where special tokens and alphabet are more than the
 * vocabulary, CANCELLED, OUT_OF_MEMORY. The caller frees *out in any case. */
rubato_status unigram_train(trained_vocabulary *out, const word_counts *words, const token_options *options,
                            rubato_error *error);

#endif
