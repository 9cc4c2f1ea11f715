/* Properties of code points as Hugging Face's tokenizers library sees them: utf8proc's tables, and the exceptions where
 * the two use different versions of Unicode. */
#ifndef RUBATO_TEXT_UNICODE_H
#define RUBATO_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CHARACTER_SPACE = 1,        /* White_Space */
    CHARACTER_DROP = 2,         /* removed by BERT's cleaning: control, format, private use, U+0000, U+FFFD */
    CHARACTER_NONSPACING = 4,   /* Mn */
    CHARACTER_MARK = 8,         /* M */
    CHARACTER_PUNCTUATION = 16, /* P, and the ASCII symbols that BERT treats as punctuation */
    CHARACTER_LETTER = 32,      /* L */
    CHARACTER_NUMBER = 64,      /* N */
    CHARACTER_WORD = 128        /* \w of regular expressions: letters, marks, digits, letter numbers, connectors */
};

unsigned character_flags(uint32_t code);

/* Whether the code is in one of the CJK blocks around whose characters BERT puts spaces. */
bool character_is_cjk(uint32_t code);

/* Lower case by full mapping, up to 3 code points; returns their number. */
size_t character_lower(uint32_t code, uint32_t out[3]);

/* Full canonical or compatibility decomposition of one code point, up to 18; returns their number. */
enum { MAX_DECOMPOSITION = 18 };
size_t character_decompose(uint32_t code, bool compatibility, uint32_t out[MAX_DECOMPOSITION]);

unsigned character_combining_class(uint32_t code);

/* The primary composite of two code points, or 0. */
uint32_t character_compose(uint32_t first, uint32_t second);

/* Whether a grapheme cluster ends between two neighbours; *state starts as 0. */
bool grapheme_break(uint32_t left, uint32_t right, int32_t *state);

/* The tables of unicode_exceptions.c, sorted. */
typedef struct character_exception {
    uint32_t first, last;
    unsigned flags;
} character_exception;

typedef struct lower_exception {
    uint32_t first, last;
    int32_t delta;
} lower_exception;

typedef struct code_range {
    uint32_t first, last;
} code_range;

extern const character_exception character_exceptions[];
extern const size_t character_exception_count;
extern const lower_exception lower_exceptions[];
extern const size_t lower_exception_count;
extern const code_range undecomposed[];
extern const size_t undecomposed_count;
extern const code_range cluster_extenders[];
extern const size_t cluster_extender_count;

#endif
