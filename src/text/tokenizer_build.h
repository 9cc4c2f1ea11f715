/* Building a tokenizer; used by the readers of tokenizer.json and vocab.txt. */
#ifndef RUBATO_TEXT_TOKENIZER_BUILD_H
#define RUBATO_TEXT_TOKENIZER_BUILD_H

#include "text/tokenizer.h"

enum { TOKENIZER_FILE_BYTES = 512 << 20 };

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

/* What the tokenizer classes of transformers that cut words as BERT does differ in. */
typedef struct tokenizer_class {
    const char *names[8];  /* without "Tokenizer" and "TokenizerFast" */
    const char *tokens[5]; /* unknown, [CLS], [SEP], [PAD], [MASK] */
    bool roberta;          /* two [SEP] in a pair, one type; [MASK] swallows the blank before it */
    int32_t cls_type;      /* the type of [CLS] */
} tokenizer_class;

/* The class that tokenizer_config.json (`config`, or NULL) names, else config.json, else the one that goes with the
 * model's type; *out is NULL for another class and where neither says one. *named: a file names it. */
rubato_status tokenizer_class_find(const tokenizer_class **out, bool *named, const char *folder,
                                   const json_t *config, rubato_error *error);

/* BERT's: the class of a vocab.txt where none is named. */
const tokenizer_class *tokenizer_class_default(void);

/* Applies what tokenizer_config.json says over tokenizer.json: upper case, accents and Chinese characters for the
 * classes above, and tokens that are added later. Comes before tokenizer_finish. */
rubato_status tokenizer_configure(tokenizer *self, const tokenizer_class *class, const char *folder,
                                  const json_t *config, rubato_error *error);

/* Reads vocab.txt. `config` is tokenizer_config.json, or NULL. */
rubato_status tokenizer_read_vocabulary(tokenizer **self, const char *folder, const json_t *config,
                                        rubato_error *error);

/* Builds the parts that depend on everything else: the trie of added tokens, the default template. */
rubato_status tokenizer_finish(tokenizer *self, rubato_error *error);

#endif
