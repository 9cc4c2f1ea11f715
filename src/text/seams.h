/* Where a long text may be cut into segments that are tokenised one after the other, with exactly the tokens of the
 * whole text.
 *
 * A seam is a blank between two characters that every stage leaves alone: ` ` in `two words`. The segment after it
 * begins with the blank. The place is safe where
 *   - no added token contains white space, and none that swallows the white space behind it ends with such a character;
 *   - no normaliser changes these characters, or the blank except into U+2581, and none looks across them: they begin
 *     and end their own grapheme clusters, take no part in compositions, and stand in no pattern of a Replace;
 *   - the pre-tokenisers cut at the blank whatever stands around it.
 * What normalisers do to the beginning of a text (Prepend, Strip) they do to the first segment alone. */
#ifndef RUBATO_TEXT_SEAMS_H
#define RUBATO_TEXT_SEAMS_H

#include "text/normalizer.h"
#include "text/pre_tokenizer.h"

typedef struct seams {
    bool none;       /* the stages give no safe place */
    bool plain[128]; /* the ASCII characters that may stand beside the blank */
    bool wide;       /* some letters of Cyrillic, Hebrew and Arabic may, too */
} seams;

/* What the stages allow. */
seams seams_of(const normalizer *normal, const pre_tokenizer *cutter);

/* Takes away what an added token forbids: its text as it is looked for. */
void seams_take_added(seams *self, const character *text, size_t count, bool right_strip);

/* The first seam of a valid UTF-8 text at or after the byte `from`; `bytes`, the end of the text, where there is none.
 */
size_t seams_next(const seams *self, const char *text, size_t from, size_t bytes);

#endif
