/* Locality-sensitive hashing of a head's rows (Kitaev et al. 2020, after Andoni et al. 2015): with random directions,
 * a row's bucket is the number of the largest of its products with the directions and with their opposites. */
#ifndef RUBATO_ATTENTION_REFORMER_HASH_H
#define RUBATO_ATTENTION_REFORMER_HASH_H

#include <stddef.h>
#include <stdint.h>

/* directions [count, size]: normal, and functions of the seed, the head and the round. Fewer directions are the first
 * ones of more. */
void reformer_directions(uint64_t seed, size_t head, size_t round, size_t count, size_t size, float *directions);

/* The buckets of a text, two for each direction: `wanted`, or, where that is 0, the power of two that is at most twice
 * the number of whole chunks, as in transformers. */
size_t reformer_bucket_count(size_t wanted, size_t length, size_t chunk);

/* Of products [rows, directions], a row every `stride` floats: of [rows] = buckets. */
void reformer_buckets(const float *products, size_t stride, size_t rows, size_t directions, uint32_t *of);

/* order [rows] = the rows sorted by bucket; rows of one bucket keep their order. room [buckets]. */
void reformer_sort(const uint32_t *of, size_t rows, size_t buckets, size_t *order, size_t *room);

#endif
