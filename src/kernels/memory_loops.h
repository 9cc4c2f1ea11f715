/* The kernels of memories as plain loops. The compiler makes vector code of them, by the flags of the including file,
 * which defines MEMORY_TABLE. */
#include <stdbool.h>
#include <string.h>

#include "kernels/memory.h"

typedef float loose_float __attribute__((aligned(1), may_alias));
typedef uint16_t loose_half __attribute__((aligned(1), may_alias));

/* The order of numbers as the order of integers. */
static inline int32_t order_of(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits ^ (int32_t)((uint32_t)(bits >> 31) >> 1);
}

static uint32_t count_above(const int32_t *order, size_t count, int32_t limit) {
    uint32_t above = 0;
    for (size_t i = 0; i < count; i++) above += order[i] > limit;
    return above;
}

/* Sorts by falling order. Equal ones keep their turn: they come with rising places. */
static void sort_places(uint32_t *places, size_t k, const int32_t *order) {
    for (size_t i = 1; i < k; i++) {
        const uint32_t place = places[i];
        size_t at = i;
        for (; at > 0 && order[places[at - 1]] < order[place]; at--) places[at] = places[at - 1];
        places[at] = place;
    }
}

/* Halves the range of the k-th number, until exactly k are above a limit or the limit is the k-th number itself. */
static void largest(uint32_t *places, const float *x, size_t count, size_t k, int32_t *order) {
    int32_t low = INT32_MAX, high = INT32_MIN;
    for (size_t i = 0; i < count; i++) {
        order[i] = order_of(x[i]);
        low = order[i] < low ? order[i] : low;
        high = order[i] > high ? order[i] : high;
    }
    int32_t limit = high;
    size_t above = 0;
    while (low < high && above != k) {
        limit = (int32_t)(low + (int64_t)(((uint32_t)high - (uint32_t)low) / 2));
        above = count_above(order, count, limit);
        if (above < k)
            high = limit;
        else
            low = limit + 1;
    }
    if (above != k) {
        limit = low;
        above = count_above(order, count, limit);
    }
    size_t equal = k - above;
    for (size_t i = 0, found = 0; found < k; i++) {
        const bool tie = order[i] == limit && equal > 0;
        places[found] = (uint32_t)i;
        equal -= tie;
        found += tie | (order[i] > limit);
    }
    sort_places(places, k, order);
}

static void add_f32(float *restrict y, const void *x, float factor, size_t count) {
    const loose_float *row = x;
    for (size_t i = 0; i < count; i++) y[i] += factor * row[i];
}

static void add_bf16(float *restrict y, const void *x, float factor, size_t count) {
    const loose_half *row = x;
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = (uint32_t)row[i] << 16;
        float value;
        memcpy(&value, &bits, sizeof value);
        y[i] += factor * value;
    }
}

static void add_int8(float *restrict y, const void *x, float factor, size_t count) {
    const int8_t *row = x;
    for (size_t i = 0; i < count; i++) y[i] += factor * (float)row[i];
}

const memory_kernels MEMORY_TABLE = {largest, add_f32, add_bf16, add_int8};
