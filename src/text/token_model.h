/* The model stage: turns one piece of text into tokens. There is one file for each kind of model; tokenizer.c calls
 * through the kind's table. */
#ifndef RUBATO_TEXT_TOKEN_MODEL_H
#define RUBATO_TEXT_TOKEN_MODEL_H

#include "text/characters.h"
#include "text/trie.h"

/* A token as a span of the piece's characters. */
typedef struct token_span {
    int32_t id;
    uint32_t begin, end; /* in the pool */
    bool surface;        /* shown as the text that it covers, not as the vocabulary has it */
} token_span;

typedef struct token_spans {
    token_span *items;
    size_t count, capacity;
} token_spans;

bool token_spans_add(token_spans *list, int32_t id, size_t begin, size_t end, bool surface);

/* The working memory of the models, for one thread. */
typedef struct model_scratch {
    void *bytes;
    size_t size;
} model_scratch;

void *model_scratch_take(model_scratch *scratch, size_t bytes);

typedef enum token_model_kind {
    MODEL_WORDPIECE,
    MODEL_BPE,
    MODEL_UNIGRAM,
    MODEL_WORD_LEVEL,
    MODEL_UNKNOWN
} token_model_kind;

typedef struct merge {
    uint64_t pair; /* left << 32 | right; UINT64_MAX in a free slot */
    uint32_t rank;
    int32_t id;
} merge;

typedef struct token_model {
    token_model_kind kind;
    trie vocabulary;       /* root 0: whole tokens; root 1: continuations of word pieces, without their prefix */
    int32_t unknown;       /* -1: none */
    size_t max_characters; /* word piece: longer words are the unknown token */
    merge *merges;         /* bpe: hash table */
    size_t merge_mask;
    bool ignore_merges, fuse_unknown;
    char *suffix; /* bpe: the mark of the end of a word in the vocabulary, or NULL. Tokens are then of characters, and
                     of bytes in other models */
    size_t suffix_bytes;
    double *scores; /* unigram: [vocabulary] */
    double unknown_score;
    bool byte_fallback;
    int32_t byte_ids[256];
} token_model;

/* Appends the tokens of pool->items[begin, end). False when memory is short. */
typedef bool tokenize_function(const token_model *model, const characters *pool, size_t begin, size_t end,
                               token_spans *out, model_scratch *scratch);

tokenize_function wordpiece_tokenize, bpe_tokenize, unigram_tokenize, word_level_tokenize;

#endif
