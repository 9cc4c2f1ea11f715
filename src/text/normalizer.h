/* Normalisers of tokenizer.json, flattened to a list of steps. */
#ifndef RUBATO_TEXT_NORMALIZER_H
#define RUBATO_TEXT_NORMALIZER_H

#include "text/characters.h"
#include "text/charsmap.h"

typedef enum normalizer_kind {
    NORMALIZE_BERT,
    NORMALIZE_NFC,
    NORMALIZE_NFD,
    NORMALIZE_NFKC,
    NORMALIZE_NFKD,
    NORMALIZE_LOWERCASE,
    NORMALIZE_STRIP,
    NORMALIZE_STRIP_ACCENTS,
    NORMALIZE_REPLACE, /* a literal text, or a run of at least two spaces */
    NORMALIZE_PREPEND,
    NORMALIZE_NMT,
    NORMALIZE_BYTE_LEVEL,
    NORMALIZE_PRECOMPILED,
    NORMALIZERS
} normalizer_kind;

/* The names of the kinds in tokenizer.json. */
extern const char *const normalizer_names[NORMALIZERS];

typedef struct normalizer_step {
    normalizer_kind kind;
    bool clean, cjk, accents, lower; /* bert */
    bool left, right;                /* strip */
    bool space_runs;                 /* replace: the pattern " {2,}" */
    uint32_t *pattern, *content;     /* replace; content also of prepend */
    size_t pattern_count, content_count;
    charsmap map; /* precompiled */
} normalizer_step;

typedef struct normalizer {
    normalizer_step *steps;
    size_t count;
} normalizer;

void normalizer_free(normalizer *self);

/* The buffers of a normaliser, for one thread. */
typedef struct normalizer_scratch {
    changes list;
    characters spare;
    size_t most;       /* the characters that a text may have after any step; see text_limit */
    const char *grown; /* the name of the step that made more; NULL: none */
    bool uneven;       /* characters were removed in a way that moves the offsets of all that follow */
} normalizer_scratch;

/* How many characters the stages may make of a text of so many. Every stage could make many of one, and the next again,
 * so that a small file and a small text would take all memory. The largest real growth of a character is 18 (NFKD) and
 * 4 (bytes), which few characters of a long text have. */
size_t text_limit(size_t count);

void normalizer_scratch_free(normalizer_scratch *scratch);

/* Normalises text[begin..end of text], the rest of a text whose beginning was normalised before if `continues`. False
 * when memory is short, or with scratch->grown where the whole text gets longer than scratch->most. */
bool normalizer_run(const normalizer *self, characters *text, size_t begin, bool continues,
                    normalizer_scratch *scratch);

/* Whether a text of that many characters is within the limit; else `step` becomes scratch->grown. */
bool text_within(normalizer_scratch *scratch, size_t count, const char *step);

/* Replaces every code point by the printable characters that stand for its UTF-8 bytes (GPT-2's bytes_to_unicode). */
bool byte_level_apply(characters *text, size_t begin, normalizer_scratch *scratch);
uint32_t byte_level_code(unsigned char byte);

/* Inserts codes before text[begin]. They get the original position of the first character. */
bool prepend_apply(characters *text, size_t begin, const uint32_t *codes, size_t count);

#endif
