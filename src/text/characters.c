/* The code points of a text during tokenisation. */
#include "text/characters.h"

#include <stdlib.h>
#include <string.h>

bool characters_reserve(characters *text, size_t more) {
    if (more > SIZE_MAX / sizeof(character) - text->count - 64) return false;
    size_t needed = text->count + more;
    if (needed <= text->capacity) return true;
    size_t capacity = needed + needed / 2 + 64;
    character *items = realloc(text->items, capacity * sizeof *items);
    if (!items) return false;
    text->items = items;
    text->capacity = capacity;
    return true;
}

bool characters_add(characters *text, uint32_t code, uint32_t first, uint32_t last) {
    if (text->count == text->capacity && !characters_reserve(text, 1)) return false;
    text->items[text->count++] = (character){code, first, last};
    return true;
}

void characters_free(characters *text) {
    free(text->items);
    *text = (characters){0};
}

bool changes_reserve(changes *list, size_t more) {
    size_t needed = list->count + more;
    if (needed <= list->capacity) return true;
    size_t capacity = needed + needed / 2 + 64;
    change *items = realloc(list->items, capacity * sizeof *items);
    if (!items) return false;
    list->items = items;
    list->capacity = capacity;
    return true;
}

void changes_free(changes *list) {
    free(list->items);
    *list = (changes){0};
}

bool characters_apply(characters *text, size_t begin, const changes *list, characters *spare, uint32_t origin) {
    spare->count = 0;
    if (!characters_reserve(spare, list->count)) return false;
    const character *old = text->items + begin;
    size_t old_count = text->count - begin, at = list->skip;
    for (size_t i = 0; i < list->count; i++) {
        change here = list->items[i];
        character place = {here.code, origin, origin};
        if (here.shift > 0) {
            if (at > 0 && at <= old_count) place = old[at - 1];
        } else {
            if (at < old_count) place = old[at];
            at += 1 + (size_t)-here.shift;
        }
        place.code = here.code;
        spare->items[spare->count++] = place;
    }
    text->count = begin;
    if (!characters_reserve(text, spare->count)) return false;
    if (spare->count) memcpy(text->items + begin, spare->items, spare->count * sizeof *spare->items);
    text->count += spare->count;
    return true;
}
