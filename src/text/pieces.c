/* The pieces into which a text is cut. */
#include "text/pieces.h"

#include <stdlib.h>

bool pieces_add(pieces *list, size_t begin, size_t end, int32_t id) {
    if (begin == end) return true;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity * 2 + 64;
        piece *items = realloc(list->items, capacity * sizeof *items);
        if (!items) return false;
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = (piece){begin, end, id};
    return true;
}

void pieces_free(pieces *list) {
    free(list->items);
    *list = (pieces){0};
}
