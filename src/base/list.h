/* Lists that grow one item at a time. */
#ifndef RUBATO_BASE_LIST_H
#define RUBATO_BASE_LIST_H

#include <stdint.h>
#include <stdlib.h>

/* The memory of a list with room for one item more than `count`: as it is, or moved and twice as large. NULL when
 * memory is short; the list is then unchanged. */
static inline void *list_grown(void *items, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity) return items;
    size_t larger = *capacity ? 2 * *capacity : 4;
    void *moved = larger > SIZE_MAX / size ? NULL : realloc(items, larger * size);
    if (moved) *capacity = larger;
    return moved;
}

#endif
