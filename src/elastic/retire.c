/* Choosing rows by score. */
#include "elastic/retire.h"

#include <stdlib.h>
#include <string.h>

/* A key that sorts by score descending, then by index ascending. NaN counts as the lowest score. */
static uint64_t key_of(float score, size_t index) {
    uint32_t bits;
    if (score != score) score = -1e38f;
    memcpy(&bits, &score, sizeof bits);
    bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u; /* order of floats as unsigned */
    return (uint64_t)~bits << 32 | (uint32_t)index;
}

/* Rearranges keys so that the first `count` are the smallest (Hoare 1961). */
static void select_smallest(uint64_t *keys, size_t length, size_t count) {
    size_t low = 0, high = length;
    while (high - low > 1) {
        uint64_t a = keys[low], b = keys[low + (high - low) / 2], c = keys[high - 1];
        uint64_t pivot = a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
        size_t i = low, j = high - 1;
        for (;;) {
            while (keys[i] < pivot) i++;
            while (keys[j] > pivot) j--;
            if (i >= j) break;
            uint64_t swap = keys[i];
            keys[i++] = keys[j];
            keys[j--] = swap;
        }
        size_t middle = j + 1; /* keys are distinct: [low, middle) <= pivot <= [middle, high) */
        if (middle == high) middle = j;
        if (count <= middle) {
            high = middle;
        } else {
            low = middle;
        }
        if (count == middle) return;
    }
}

void retire_choose(const float *scores, size_t length, size_t keep, size_t protected, size_t *kept, uint64_t *scratch) {
    size_t at = 0;
    uint64_t limit = 0;
    for (size_t i = 0; i < length; i++) scratch[i] = i == protected ? 0 : key_of(scores[i], i);
    select_smallest(scratch, length, keep);
    for (size_t i = 0; i < keep; i++)
        if (scratch[i] > limit) limit = scratch[i];
    for (size_t i = 0; i < length && at < keep; i++)
        if (i == protected || key_of(scores[i], i) <= limit) kept[at++] = i;
}

static int by_key(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void retire_rank(const float *scores, size_t length, uint32_t *ranks, uint64_t *scratch) {
    for (size_t i = 0; i < length; i++) scratch[i] = key_of(scores[i], i);
    qsort(scratch, length, sizeof *scratch, by_key);
    for (size_t i = 0; i < length; i++) ranks[(uint32_t)scratch[i]] = (uint32_t)i;
}
