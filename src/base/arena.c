/* The arena is a list of blocks. Each block has at least twice the size that was asked for, so that few blocks are
 * needed. */
#define _DEFAULT_SOURCE
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/checked.h"

#ifdef __SANITIZE_ADDRESS__ /* it writes an eighth of every block that it gives and takes */
enum { MOST_SPARE = 1 << 20 };
#else
#define MOST_SPARE SIZE_MAX
#endif

enum { HUGE_PAGE = 2 << 20 };

struct arena_block {
    arena_block *next;
    unsigned char *data; /* 64-byte aligned */
    size_t size, used;
};

void arena_create(arena *self, size_t keep_bytes, size_t block_bytes) {
    self->first = self->current = NULL;
    self->keep_bytes = keep_bytes;
    self->block_bytes = block_bytes;
}

static void free_from(arena_block *block) {
    while (block) {
        arena_block *next = block->next;
        free(block->data);
        free(block);
        block = next;
    }
}

void arena_destroy(arena *self) {
    if (!self) return;
    free_from(self->first);
    self->first = self->current = NULL;
}

static arena_block *block_create(size_t bytes) {
    arena_block *block = calloc(1, sizeof *block);
    if (!block) return NULL;
    size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : ARENA_ALIGNMENT;
    bytes = round_up(bytes, alignment);
    block->data = aligned_alloc(alignment, bytes);
    if (!block->data) {
        free(block);
        return NULL;
    }
    if (alignment == HUGE_PAGE) madvise(block->data, bytes, MADV_HUGEPAGE);
    block->size = bytes;
    return block;
}

void *arena_take(arena *self, size_t bytes) {
    if (bytes > (size_t)1 << 46) return NULL;
    bytes = round_up(size_max(bytes, 1), ARENA_ALIGNMENT);
    for (arena_block *block = self->current; block; block = block->next) {
        if (block != self->current) block->used = 0;
        if (block->size - block->used >= bytes) {
            void *piece = block->data + block->used;
            block->used += bytes;
            self->current = block;
            return piece;
        }
    }
    arena_block *block = block_create(size_max(bytes, size_min(self->block_bytes, MOST_SPARE)));
    if (!block) return NULL;
    if (!self->first) {
        self->first = block;
    } else {
        arena_block *last = self->current;
        while (last->next) last = last->next;
        last->next = block;
    }
    self->current = block;
    block->used = bytes;
    return block->data;
}

void *arena_take_array(arena *self, size_t count, size_t size) {
    size_t bytes;
    return checked_multiply(count, size, &bytes) ? arena_take(self, bytes) : NULL;
}

arena_mark arena_save(const arena *self) {
    return (arena_mark){self->current, self->current ? self->current->used : 0};
}

void arena_rewind(arena *self, arena_mark mark) {
    self->current = mark.block ? mark.block : self->first;
    if (self->current) self->current->used = mark.block ? mark.used : 0;
}

void arena_reset(arena *self) {
    size_t kept = 0;
    for (arena_block **link = &self->first; *link;) {
        arena_block *block = *link;
        if (kept + block->size > self->keep_bytes) {
            *link = block->next;
            free(block->data);
            free(block);
        } else {
            kept += block->size;
            block->used = 0;
            link = &block->next;
        }
    }
    self->current = self->first;
}
