/* A text being tokenised: code points, each with the code points of the original that it came from.
 *
 * Normalisers rewrite it by a list of changes, with the bookkeeping of the reference (tokenizers, NormalizedString):
 * a change is a code point and how it stands to the old text. Offsets stay exact through every rewriting. */
#ifndef RUBATO_TEXT_CHARACTERS_H
#define RUBATO_TEXT_CHARACTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct character {
    uint32_t code;
    uint32_t first, last; /* of the original, last + 1 */
} character;

typedef struct characters {
    character *items;
    size_t count, capacity;
} characters;

/* One code point of the new text. */
typedef struct change {
    uint32_t code;
    int32_t shift; /* 1: new, beside the previous one; 0: in place of one; -n: in place of one, n more removed after */
} change;

typedef struct changes {
    change *items;
    size_t count, capacity;
    size_t skip; /* old code points removed before the first */
} changes;

/* Room for `more` further items. False when memory is short; the text is then unchanged. */
bool characters_reserve(characters *text, size_t more);
bool characters_add(characters *text, uint32_t code, uint32_t first, uint32_t last);
void characters_free(characters *text);

bool changes_reserve(changes *list, size_t more);
void changes_free(changes *list);

/* Adds one change; the caller has reserved. */
static inline void changes_put(changes *list, uint32_t code, int32_t shift) {
    list->items[list->count++] = (change){code, shift};
}

/* Applies the changes to text[begin..] (everything from `begin` to the end), using `spare` as second buffer. What is
 * inserted before anything else takes the place [origin, origin). */
bool characters_apply(characters *text, size_t begin, const changes *list, characters *spare, uint32_t origin);

#endif
