/* The code points of a text during tokenisation, each with the code points of the original text that it came from.
 *
 * Normalisers rewrite the text by a list of changes, with the bookkeeping of the reference (tokenizers,
 * NormalizedString). A change is a code point and its relation to the old text. Offsets stay exact through every
 * rewriting. */
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
    int32_t shift; /* 1: inserted after the previous one; 0: replaces one old code point; -n: replaces one and removes n
                      more after it */
} change;

typedef struct changes {
    change *items;
    size_t count, capacity;
    size_t skip; /* old code points removed before the first */
} changes;

/* Reserves memory for `more` further items. False when memory is short; the text is then unchanged. */
bool characters_reserve(characters *text, size_t more);
bool characters_add(characters *text, uint32_t code, uint32_t first, uint32_t last);
void characters_free(characters *text);

bool changes_reserve(changes *list, size_t more);
void changes_free(changes *list);

/* Adds one change. The caller has reserved the memory. */
static inline void changes_put(changes *list, uint32_t code, int32_t shift) {
    list->items[list->count++] = (change){code, shift};
}

/* Applies the changes to text[begin..] (from `begin` to the end), with `spare` as second buffer. Code points that are
 * inserted before all others get the original position [origin, origin). */
bool characters_apply(characters *text, size_t begin, const changes *list, characters *spare, uint32_t origin);

#endif
