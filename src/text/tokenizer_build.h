/* Building a tokenizer; used by the readers of tokenizer.json and vocab.txt. */
#ifndef RUBATO_TEXT_TOKENIZER_BUILD_H
#define RUBATO_TEXT_TOKENIZER_BUILD_H

#include "text/tokenizer.h"

rubato_status tokenizer_create(tokenizer **self, rubato_error *error);

/* Adds a token to the vocabulary. */
rubato_status tokenizer_add_token(tokenizer *self, const char *text, size_t bytes, long long id, rubato_error *error);

/* Makes continuations of the tokens that begin with `prefix`, under the trie's second root. */
rubato_status tokenizer_add_continuations(tokenizer *self, const char *prefix, rubato_error *error);

/* Adds an added token with the properties of `like`, but with the given content and id. */
rubato_status tokenizer_add_added(tokenizer *self, const added_token *like, const char *text, size_t bytes,
                                  long long id, rubato_error *error);

/* Sets the templates of BERT ([CLS] A [SEP] B [SEP], types 0 and 1) or RoBERTa (<s> A </s></s> B </s>, type 0). */
rubato_status tokenizer_set_template(tokenizer *self, long long cls, long long sep, bool roberta, rubato_error *error);

/* Builds the parts that depend on everything else: the trie of added tokens, the default template. */
rubato_status tokenizer_finish(tokenizer *self, rubato_error *error);

#endif
