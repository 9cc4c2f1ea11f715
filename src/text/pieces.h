/* A text cut up: spans of a character pool, each still text or already one added token. */
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

/* Adds a piece; empty ones are left out. */
bool pieces_add(pieces *list, size_t begin, size_t end, int32_t id);
void pieces_free(pieces *list);

#endif
