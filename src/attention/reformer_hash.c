#include "attention/reformer_hash.h"

#include <string.h>

#include "base/random.h"

void reformer_directions(uint64_t seed, size_t head, size_t round, size_t count, size_t size, float *directions) {
    uint64_t state = random_hash(random_hash(random_hash(seed) + head) + round);
    for (size_t i = 0; i < count * size; i++) directions[i] = (float)random_normal(&state);
}

size_t reformer_bucket_count(size_t wanted, size_t length, size_t chunk) {
    size_t count = 2;
    if (wanted) return wanted;
    while (count * 2 <= length / chunk * 2) count *= 2;
    return count;
}

void reformer_buckets(const float *products, size_t stride, size_t rows, size_t directions, uint32_t *of) {
    for (size_t i = 0; i < rows; i++) {
        const float *row = products + i * stride;
        float largest = row[0];
        of[i] = 0;
        for (size_t j = 1; j < directions; j++)
            if (row[j] > largest) {
                largest = row[j];
                of[i] = (uint32_t)j;
            }
        for (size_t j = 0; j < directions; j++)
            if (-row[j] > largest) {
                largest = -row[j];
                of[i] = (uint32_t)(directions + j);
            }
    }
}

void reformer_sort(const uint32_t *of, size_t rows, size_t buckets, size_t *order, size_t *room) {
    size_t at = 0;
    memset(room, 0, buckets * sizeof *room);
    for (size_t i = 0; i < rows; i++) room[of[i]]++;
    for (size_t i = 0; i < buckets; i++) {
        const size_t count = room[i];
        room[i] = at;
        at += count;
    }
    for (size_t i = 0; i < rows; i++) order[room[of[i]]++] = i;
}
