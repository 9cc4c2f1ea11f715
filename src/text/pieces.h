/* The pieces into which a text is cut: spans of a pool of characters. Each piece is still text, or it is one added
 * token. */
#ifndef RUBATO_TEXT_PIECES_H
#define RUBATO_TEXT_PIECES_H

#include <stdbool.h>

#include "text/characters.h"

typedef struct piece {
    size_t begin, end; /* in the pool */
    int32_t id;        /* of an added token; -1: text */
} piece;

typedef struct pieces {
    piece *items;
    size_t count, capacity;
} pieces;

/* Adds a piece, unless it is empty. */
bool pieces_add(pieces *list, size_t begin, size_t end, int32_t id);
void pieces_free(pieces *list);

#endif
