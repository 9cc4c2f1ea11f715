/* A tokenizer: the contents of tokenizer.json (or vocab.txt) in one object that many threads may read.
 *
 *   text -> added tokens cut out -> normaliser -> added tokens that are normalised -> pre-tokeniser -> model
 *        -> truncation, leaving room for special tokens -> template -> windows */
#ifndef RUBATO_TEXT_TOKENIZER_H
#define RUBATO_TEXT_TOKENIZER_H

#include <jansson.h>

#include "base/error.h"
#include "base/text_buffer.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/seams.h"
#include "text/token_model.h"

typedef struct added_token {
    int32_t id;
    bool single_word, left_strip, right_strip, normalized, special;
    char *content;
} added_token;

/* One item of the template: a special token, or a sequence. */
typedef struct template_item {
    int sequence; /* 0: first text, 1: second; -1: special token */
    int32_t id, type;
} template_item;

enum { MAX_TEMPLATE = 16 };

typedef struct template {
    template_item items[MAX_TEMPLATE];
    size_t count, specials;
}
template;

/* The roots of the trie of added tokens. */
enum { ADDED_RAW, ADDED_NORMALIZED, ADDED_CONTENTS, ADDED_ROOTS };

typedef struct tokenizer {
    normalizer normalizer;
    pre_tokenizer pre_tokenizer;
    token_model model;
    added_token *added;
    size_t added_count;
    trie added_trie; /* to find them in the raw text, in the normalised text, and by their contents; values index added
                      */
    bool added_starts[2][128]; /* ASCII code points with which an added token begins, so that other text is skipped
                                  quickly */
    bool added_starts_wide[2]; /* an added token begins with another code point */
    template single, pair;
    bool trim_offsets, trim_prefix_space; /* ByteLevel and RoBERTa post-processing */
    char **tokens;                        /* [vocabulary], NULL for unused ids */
    uint32_t *token_bytes;
    size_t vocabulary;
    size_t max_length;              /* model_max_length of tokenizer_config.json; SIZE_MAX: none */
    bool cut_left, special_as_text; /* as in rubato_text_options; either asks for it */
    bool one_type;                  /* tokens have type 0 alone: the model's inputs have no types */
    bool cleans_spaces;             /* decoding removes the blanks before marks */
    int32_t mask, pad;              /* ids; -1 where there is none */
    seams seams;
    size_t segment_bytes; /* a longer text is cut into segments of at least so many bytes */
    size_t most_bytes;    /* of a segment, where not all tokens are kept */
} tokenizer;

/* Reads tokenizer.json, or the files that its class had before, with tokenizer_config.json, of a folder.
 * Fails: NOT_FOUND, BAD_MODEL, UNSUPPORTED, OUT_OF_MEMORY. */
rubato_status tokenizer_load(tokenizer **self, const char *folder, rubato_error *error);
void tokenizer_destroy(tokenizer *self);

/* The added token of exactly that content, or NULL. */
const added_token *tokenizer_added(const tokenizer *self, const char *content);

/* The id of a token by its exact text, -1 when there is none. */
int32_t tokenizer_id(const tokenizer *self, const char *token);

/* Whether both have the same tokens with the same ids. */
bool tokenizer_same_tokens(const tokenizer *a, const tokenizer *b);

/* Whether a token goes on with the word of the token before it: "##ing" of WordPiece; of others a token without the
 * mark of a word's beginning. */
bool tokenizer_continues(const tokenizer *self, int32_t id);

/* A token of a sequence before truncation. */
typedef struct token {
    int32_t id;
    uint32_t first, last; /* code points of the text */
    uint32_t word;
    uint32_t surface; /* 0: as in the vocabulary; else 1 + index into the scratch's surfaces */
} token;

/* The tokens of a text that are kept: `count` of `total`, from number `first` on. */
typedef struct token_list {
    token *items;
    size_t count, capacity, first, total;
} token_list;

/* The memory that one thread needs to tokenise, reused from text to text. A struct of zero bytes is valid and empty. */
typedef struct tokenizer_scratch {
    characters raw, pool;
    pieces list;
    pre_tokenizer_scratch pre_tokenizer;
    model_scratch model;
    token_spans spans;
    token_list tokens[2];
    char **surfaces;
    size_t surface_count, surface_capacity;
} tokenizer_scratch;

void tokenizer_scratch_free(tokenizer_scratch *scratch);

/* Which tokens of a text are made. */
typedef struct token_choice {
    bool special_as_text;
    size_t most; /* the most tokens that are kept; SIZE_MAX: all */
    bool last;   /* the last ones, not the first */
} token_choice;

/* Tokenises one text into scratch->tokens[which]. The text must be valid UTF-8. A long text is tokenised in segments
 * (text/seams.h), so that memory follows the tokens that are kept. Fails: BAD_ARGUMENT where the stages make much more
 * of a text than it is, and for a text that has more than most_bytes without a seam; OUT_OF_MEMORY. */
rubato_status tokenizer_run(const tokenizer *self, const char *text, size_t bytes, const token_choice *how,
                            size_t which, tokenizer_scratch *scratch, rubato_error *error);

/* The stages before the model alone: the pieces of a text are in scratch->list, with their characters in scratch->pool.
 * Fails as tokenizer_run. */
rubato_status tokenizer_cut(const tokenizer *self, const char *text, size_t bytes, tokenizer_scratch *scratch,
                            rubato_error *error);

/* All stages up to an encoding; see rubato_encode. */
rubato_status tokenizer_encode(const tokenizer *self, const rubato_input *input, const rubato_text_options *options,
                               tokenizer_scratch *scratch, rubato_encoding **encoding, rubato_error *error);

/* The tokenizer that made an encoding. */
const tokenizer *encoding_tokenizer(const rubato_encoding *encoding);

/* Adds a token as it reads in running text; a continuation of a word has its mark, the end of a word none. The id must
 * be in the vocabulary. */
void tokenizer_add_plain(const tokenizer *self, int32_t id, text_buffer *out);

/* Adds the next of the tokens that make up a text: with a space before it, or without the mark of a continuation. After
 * the last one, tokenizer_join_end removes the mark of the end of a word and replaces bytes that are not valid UTF-8.
 */
void tokenizer_join(const tokenizer *self, const char *name, size_t size, bool first, text_buffer *out);
void tokenizer_join_end(const tokenizer *self, text_buffer *out);

/* The text that the ids stand for. Fails: BAD_ARGUMENT for an id that is not in the vocabulary, OUT_OF_MEMORY. */
rubato_status tokenizer_decode(const tokenizer *self, const int32_t *ids, size_t count, bool skip_special,
                               text_buffer *out, rubato_error *error);

/* The number of special tokens that the template adds. */
size_t tokenizer_specials(const tokenizer *self, bool pair);

#endif
