/* Pre-tokenisers of tokenizer.json, flattened to a list of steps. */
#ifndef RUBATO_TEXT_PRE_TOKENIZER_H
#define RUBATO_TEXT_PRE_TOKENIZER_H

#include "text/normalizer.h"
#include "text/pieces.h"

typedef enum pre_tokenizer_kind {
    SPLIT_BERT,        /* removes white space, isolates punctuation */
    SPLIT_WHITESPACE,  /* \w+|[^\w\s]+ */
    SPLIT_SPACES,      /* WhitespaceSplit */
    SPLIT_PUNCTUATION, /* isolates each character of punctuation */
    SPLIT_DIGITS,
    SPLIT_METASPACE,
    SPLIT_BYTE_LEVEL
} pre_tokenizer_kind;

typedef enum prepend_scheme { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER } prepend_scheme;

typedef struct pre_tokenizer_step {
    pre_tokenizer_kind kind;
    bool individual;        /* digits */
    uint32_t replacement;   /* metaspace */
    prepend_scheme prepend; /* metaspace */
    bool split;             /* metaspace; byte level: by GPT-2's pattern */
    bool prefix_space;      /* byte level */
} pre_tokenizer_step;

typedef struct pre_tokenizer {
    pre_tokenizer_step *steps;
    size_t count;
} pre_tokenizer;

/* The buffers of one thread. */
typedef struct pre_tokenizer_scratch {
    characters pool;
    pieces list;
    normalizer_scratch normalizer;
} pre_tokenizer_scratch;

void pre_tokenizer_scratch_free(pre_tokenizer_scratch *scratch);

/* Cuts every text piece of the list further, and rewrites pool and list. False when memory is short, or with
 * scratch->normalizer.grown. */
bool pre_tokenizer_run(const pre_tokenizer *self, characters *pool, pieces *list, pre_tokenizer_scratch *scratch);

#endif
