/* Locality-sensitive hashing of a head's rows (Kitaev et al. 2020, after Andoni et al. 2015): with random directions,
 * a row's bucket is the number of the largest of its products with the directions and with their opposites. */
#ifndef RUBATO_ATTENTION_REFORMER_HASH_H
#define RUBATO_ATTENTION_REFORMER_HASH_H

#include <stddef.h>
#include <stdint.h>

/* directions [count, size]: normal, and functions of the seed, the head and the round. Fewer directions are the first
 * ones of more. */
void reformer_directions(uint64_t seed, size_t head, size_t round, size_t count, size_t size, float *directions);

/* The normal numbers that PyTorch draws after `manual_seed(seed)` for a tensor [heads, size, rounds, count], of which
 * directions [count, size] gets those of one head and round. room [heads * size * rounds * count + 16]. The tensor has
 * at least 16 elements; PyTorch draws fewer by another rule. */
typedef struct torch_directions {
    uint64_t seed;
    size_t heads, size, rounds, count;
} torch_directions;

void reformer_torch_directions(const torch_directions *of, size_t head, size_t round, float *room, float *directions);

/* The buckets of a text: the product of two factors, of which the second may be 1. There are half as many directions as
 * the sum of the factors that are not 1. */
typedef struct bucket_factors {
    size_t first, second;
} bucket_factors;

static inline size_t buckets_of(bucket_factors f) {
    return f.first * f.second;
}

static inline size_t directions_of(bucket_factors f) {
    return f.first / 2 + (f.second > 1 ? f.second / 2 : 0);
}

/* As transformers chooses them: the power of two that is at most twice the number of whole chunks, in two factors where
 * it is above `most` (0: always in one). */
bucket_factors reformer_bucket_count(size_t length, size_t chunk, size_t most);

/* Of products [rows, directions], a row every `stride` floats: of [rows] = buckets. */
void reformer_buckets(const float *products, size_t stride, size_t rows, bucket_factors factors, uint32_t *of);

/* order [rows] = the rows sorted by bucket; rows of one bucket keep their order. room [buckets]. */
void reformer_sort(const uint32_t *of, size_t rows, size_t buckets, size_t *order, size_t *room);

#endif
