/* An arena: memory for one forward pass. Pieces are taken in order, and all of them are released at once.
 *
 *   | block 0 ............ | block 1 .............................. |
 *   ^ used | used | used   ^ used | free                            ^
 *
 * Every piece is aligned to 64 bytes. A piece is never freed by itself; a mark remembers a position to which the arena
 * can be rewound. Blocks of 2 MB and more ask for huge pages: a product reads through megabytes of weights, and small
 * pages would cost it a miss in the translation cache every 4 kB. Pages that were never written take no memory. On
 * reset, blocks beyond `keep_bytes` are returned to the system, so that one large batch does not keep its memory. */
#ifndef RUBATO_BASE_ARENA_H
#define RUBATO_BASE_ARENA_H

#include <stddef.h>

enum { ARENA_ALIGNMENT = 64 };

typedef struct arena_block arena_block;

typedef struct arena {
    arena_block *first;   /* in order of use */
    arena_block *current; /* gives the next piece */
    size_t keep_bytes;    /* the most that reset keeps */
    size_t block_bytes;   /* least size of a block */
} arena;

typedef struct arena_mark {
    arena_block *block;
    size_t used;
} arena_mark;

void arena_create(arena *self, size_t keep_bytes, size_t block_bytes);
void arena_destroy(arena *self);

/* `bytes` of uninitialised memory, aligned to 64; NULL when memory is short. */
void *arena_take(arena *self, size_t bytes);

/* count * size, checked for overflow. */
void *arena_take_array(arena *self, size_t count, size_t size);

arena_mark arena_save(const arena *self);
void arena_rewind(arena *self, arena_mark mark);

/* Releases every piece and returns blocks beyond keep_bytes. */
void arena_reset(arena *self);

#endif
