/* Tokenizers that are trained from running text: the stages around the model, as BERT, RoBERTa and XLM-RoBERTa have
 * them. */
#ifndef RUBATO_TEXT_VOCABULARY_H
#define RUBATO_TEXT_VOCABULARY_H

#include <jansson.h>

#include "text/tokenizer.h"
#include "text/trained_vocabulary.h"
#include "text/word_counts.h"

typedef enum vocabulary_kind { VOCABULARY_WORDPIECE, VOCABULARY_BPE, VOCABULARY_UNIGRAM } vocabulary_kind;

typedef struct vocabulary_form {
    const char *name;            /* of the kind */
    const char *const *specials; /* ended by NULL; the first tokens */
    const char *mark;            /* as in token_options */
    bool bytes;                  /* the alphabet is that of bytes */
} vocabulary_form;

extern const vocabulary_form vocabulary_forms[];

/* The kind of that name. False where there is none. */
bool vocabulary_kind_find(vocabulary_kind *out, const char *name);

/* The contents of tokenizer.json and of tokenizer_config.json; `learnt` NULL: with special tokens alone. NULL when
 * memory is short. */
json_t *vocabulary_tokenizer(vocabulary_kind kind, bool cased, const trained_vocabulary *learnt);
json_t *vocabulary_config(vocabulary_kind kind, bool cased, size_t max_length);

/* A tokenizer whose stages before the model cut text into the words that are counted. Special tokens in a text are
 * text. Fails: OUT_OF_MEMORY. */
rubato_status vocabulary_cutter(tokenizer **out, vocabulary_kind kind, bool cased, rubato_error *error);

/* Adds the words of a line. Fails: as tokenizer_cut. */
rubato_status vocabulary_count(word_counts *counts, const tokenizer *cutter, const char *line, size_t bytes,
                               tokenizer_scratch *scratch, rubato_error *error);

/* Trains the tokens of the counted words as merges_train or unigram_train does, with `options` without the fields that
 * the kind decides: always, specials, mark. */
rubato_status vocabulary_learn(trained_vocabulary *out, vocabulary_kind kind, const word_counts *counts,
                               const token_options *options, rubato_error *error);

#endif
