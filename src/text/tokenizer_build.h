/* Building a tokenizer; used by the readers of tokenizer.json and vocab.txt. */
#ifndef RUBATO_TEXT_TOKENIZER_BUILD_H
#define RUBATO_TEXT_TOKENIZER_BUILD_H

#include "text/tokenizer.h"

enum {
    TOKENIZER_FILE_BYTES = 512 << 20,
    MAX_CHARACTERS = 1024, /* of a token, or of the pattern of a Replace */
    MAX_STEPS = 256        /* of normalisers, and of pre-tokenisers */
};

rubato_status tokenizer_create(tokenizer **self, rubato_error *error);

/* Adds a token to the vocabulary. */
rubato_status tokenizer_add_token(tokenizer *self, const char *text, size_t bytes, long long id, rubato_error *error);

/* Makes continuations of the tokens that begin with `prefix`, under the trie's second root. */
rubato_status tokenizer_add_continuations(tokenizer *self, const char *prefix, rubato_error *error);

/* Adds an added token with the properties of `like`, but with the given content and id. Of equal contents the first
 * counts. */
rubato_status tokenizer_add_added(tokenizer *self, const added_token *like, const char *text, size_t bytes,
                                  long long id, rubato_error *error);

/* The templates of BERT, [CLS] A [SEP] B [SEP] of types 0 and 1; of RoBERTa, <s> A </s></s> B </s> of type 0; and of
 * XLNet, A <sep> B <sep> <cls>, whose last token is of type 2. */
typedef enum arrangement { CLS_FIRST, TWO_SEPARATORS, CLS_LAST } arrangement;

/* Fails: BAD_MODEL for ids that are not in the vocabulary. */
rubato_status tokenizer_set_template(tokenizer *self, long long cls, long long sep, arrangement how,
                                     rubato_error *error);

typedef struct tokenizer_class tokenizer_class;

/* What a tokenizer is made of. */
typedef struct tokenizer_source {
    json_t *root;     /* the contents of tokenizer.json; parts may be replaced */
    const char *json; /* its text, of `size` bytes; NULL: it was made of the files of the class */
    size_t size;
    const tokenizer_class *class; /* NULL: a class that leaves tokenizer.json as it is */
    const char *folder;           /* where added_tokens.json may be; NULL: nowhere */
    const json_t *config;         /* tokenizer_config.json, or NULL */
} tokenizer_source;

/* Makes a tokenizer. Fails: BAD_MODEL, UNSUPPORTED, OUT_OF_MEMORY. */
rubato_status tokenizer_assemble(tokenizer **self, const tokenizer_source *from, rubato_error *error);

/* The same for the text of a tokenizer.json; `name` is used in messages. */
rubato_status tokenizer_parse(tokenizer **self, const char *json, size_t size, const char *name, const char *folder,
                              const tokenizer_class *class, const json_t *config, rubato_error *error);

/* The kind of the model of a tokenizer.json. */
token_model_kind tokenizer_model_kind(const json_t *model);

/* Parts of tokenizer_assemble. What tokenizer_config.json says over the other files: upper case, accents and Chinese
 * characters for BERT's classes, tokens that are added later (where the class builds the stages: its own ones too),
 * sides, types, blanks. */
rubato_status tokenizer_configure(tokenizer *self, const tokenizer_source *from, bool built, rubato_error *error);

/* Builds the parts that depend on everything else: the trie of added tokens, the default template. */
rubato_status tokenizer_finish(tokenizer *self, rubato_error *error);

#endif
