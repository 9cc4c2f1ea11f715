/* What the tokenizer classes of transformers differ in. */
#ifndef RUBATO_TEXT_TOKENIZER_CLASS_H
#define RUBATO_TEXT_TOKENIZER_CLASS_H

#include "text/tokenizer_build.h"

typedef enum special_token {
    UNK_TOKEN,
    CLS_TOKEN,
    SEP_TOKEN,
    PAD_TOKEN,
    MASK_TOKEN,
    BOS_TOKEN,
    EOS_TOKEN,
    SPECIAL_TOKENS,
    NO_TOKEN = SPECIAL_TOKENS
} special_token;

/* The keys of tokenizer_config.json that name them. */
extern const char *const special_keys[SPECIAL_TOKENS];

struct tokenizer_class {
    const char *names[8];               /* without "Tokenizer" and "TokenizerFast" */
    const char *files[2];               /* its own files, beside tokenizer.json */
    token_model_kind model;             /* the kind of model that it makes */
    const char *tokens[SPECIAL_TOKENS]; /* where tokenizer_config.json names no others; NULL: none */
    const char *more[2];                /* further special tokens, where tokenizer_config.json names no others */
    arrangement arranged;               /* of the special tokens */
    bool ends_are_bos_eos;              /* the template has the tokens bos and eos, not cls and sep */
    bool mask_strips;                   /* [MASK] swallows the blank before it */
    int32_t cls_type;                   /* the type of a [CLS] that is first */
    const char *suffix;                 /* of BPE over BERT's words: the mark of the end of a word */
    bool rebuilds;                      /* of tokenizer.json only the vocabulary counts: the class builds the stages */

    /* the ids of a SentencePiece model: tokens or fillers, the model's pieces but the first ones, the mask */
    special_token head[5];
    const char *fillers[5]; /* where head has NO_TOKEN */
    size_t head_count, dropped;
    bool mask_last;
    int unknown_id;   /* 0: the model says it */
    bool cleans_text; /* ALBERT's quotes, accents and upper case */
    bool keeps_case;  /* with that, upper case stays where no file says otherwise, and accents never do (XLNet) */
};

/* The class that tokenizer_config.json (`config`, or NULL) names, else config.json, else the one that goes with the
 * model's type; *out is NULL for another class and where no file says one. `named` gets the name that a file says, or
 * "". Fails: UNSUPPORTED for a class that would read no tokenizer.json, BAD_DATA, OUT_OF_MEMORY. */
rubato_status tokenizer_class_find(const tokenizer_class **out, char *named, size_t room, const char *folder,
                                   const json_t *config, rubato_error *error);

/* A class by its name without "Tokenizer", or NULL. */
const tokenizer_class *tokenizer_class_named(const char *name);

/* The text of a special token, or NULL: that of tokenizer_config.json, else the class's. */
const char *tokenizer_class_token(const tokenizer_class *class, special_token which, const json_t *config);

/* The tokens before and behind a text. */
void tokenizer_class_ends(const tokenizer_class *class, const json_t *config, const char *ends[2]);

/* Replaces in `root`, the contents of tokenizer.json, what a class that `rebuilds` builds by itself. */
rubato_status tokenizer_class_rebuild(const tokenizer_class *class, json_t *root, const json_t *config,
                                      rubato_error *error);

/* Sets the class's template and the trimming of offsets, once the special tokens have ids. */
rubato_status tokenizer_class_template(tokenizer *self, const tokenizer_class *class, const json_t *config,
                                       rubato_error *error);

#endif
