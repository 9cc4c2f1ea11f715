#include "text/substrings.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/random.h"

/* ---- Suffixes in alphabetical order ---- */

static void swap(uint32_t *a, uint32_t *b) {
    uint32_t kept = *a;
    *a = *b;
    *b = kept;
}

/* Sorts places by the characters that follow, of which the first `depth` are equal. Words are compared up to their ends
 * and up to one character more than a substring has. Radix quicksort (Bentley and Sedgewick 1997, Fast Algorithms for
 * Sorting and Searching Strings); the two smaller parts recur, so the stack stays small. */
static void sort_places(uint32_t *places, size_t count, const uint32_t *codes, size_t depth, uint64_t *state) {
    while (count > 1 && depth <= SUBSTRING_MOST) {
        const uint32_t pivot = codes[places[random_below(state, count)] + depth];
        size_t less = 0, at = 0, more = count;
        while (at < more) {
            uint32_t code = codes[places[at] + depth];
            if (code < pivot)
                swap(&places[less++], &places[at++]);
            else if (code > pivot)
                swap(&places[at], &places[--more]);
            else
                at++;
        }
        /* [0, less), [less, more), [more, count) */
        struct part {
            uint32_t *places;
            size_t count, depth;
        } parts[3] = {{places, less, depth},
                      {places + less, pivot ? more - less : 0, depth + 1},
                      {places + more, count - more, depth}};
        size_t largest = 0;
        for (size_t i = 1; i < 3; i++)
            if (parts[i].count > parts[largest].count) largest = i;
        for (size_t i = 0; i < 3; i++)
            if (i != largest) sort_places(parts[i].places, parts[i].count, codes, parts[i].depth, state);
        places = parts[largest].places;
        count = parts[largest].count;
        depth = parts[largest].depth;
    }
}

/* The number of equal characters at two places; more than SUBSTRING_MOST where both words end alike. */
static size_t common(const uint32_t *a, const uint32_t *b) {
    size_t count = 0;
    while (count <= SUBSTRING_MOST && a[count] == b[count])
        if (a[count++] == 0) return SUBSTRING_MOST + 1;
    return count;
}

/* ---- Inner nodes ---- */

typedef struct node {
    size_t first, depth;
} node;

static bool add(substrings *out, const uint32_t *places, node found, size_t end) {
    if (found.depth < 2 || found.depth > SUBSTRING_MOST) return true;
    substring *items = list_grown(out->items, out->count, &out->capacity, sizeof *items);
    if (!items) return false;
    out->items = items;
    items[out->count++] = (substring){end - found.first, found.first, places[found.first], (uint32_t)found.depth};
    return true;
}

/* Neighbours in alphabetical order with `depth` equal characters are below one node of that depth. */
static bool find_nodes(substrings *out, const uint32_t *codes, const uint32_t *places, size_t count) {
    node open[SUBSTRING_MOST + 2];
    size_t depth = 0;
    for (size_t i = 1; i <= count; i++) {
        const size_t equal = i < count ? common(codes + places[i - 1], codes + places[i]) : 0;
        node next = {i - 1, equal};
        while (depth && open[depth - 1].depth > equal) {
            next.first = open[--depth].first;
            if (!add(out, places, open[depth], i)) return false;
        }
        if (equal && (!depth || open[depth - 1].depth < equal)) open[depth++] = next;
    }
    return true;
}

/* Of two strings, the one whose first place comes earlier is the lower; at the same place, the shorter one. */
static int by_score(const void *a, const void *b) {
    const substring *x = a, *y = b;
    const uint64_t score_x = x->count * x->length, score_y = y->count * y->length;
    if (score_x != score_y) return score_x > score_y ? -1 : 1;
    if (x->rank != y->rank) return x->rank > y->rank ? -1 : 1;
    return x->length > y->length ? -1 : x->length < y->length;
}

rubato_status substrings_find(substrings *out, const uint32_t *codes, size_t count, rubato_error *error) {
    *out = (substrings){0};
    if (count >= UINT32_MAX) return fail(error, RUBATO_BAD_ARGUMENT, "the words have more than 2^32 characters");
    uint32_t *places = malloc((count + 1) * sizeof *places);
    if (!places) return fail_memory(error);
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        if (codes[i]) places[used++] = (uint32_t)i;
    uint64_t state = 1;
    sort_places(places, used, codes, 0, &state);
    bool found = find_nodes(out, codes, places, used);
    free(places);
    if (!found) return fail_memory(error);
    if (out->count) qsort(out->items, out->count, sizeof *out->items, by_score);
    return RUBATO_OK;
}

void substrings_free(substrings *self) {
    free(self->items);
    *self = (substrings){0};
}
