/* Retirement: the least significant rows of each sequence leave the batch. */
#ifndef RUBATO_ELASTIC_RETIRE_H
#define RUBATO_ELASTIC_RETIRE_H

#include <stdbool.h>

#include "elastic/batch.h"

/* The score that decides which rows stay. */
typedef enum significance {
    SIGNIFICANCE_RECEIVED, /* the attention that a row receives, summed over heads and queries: Kim and Cho 2021 */
    SIGNIFICANCE_OTHERS,   /* the same without the row's own attention: PoWER-BERT, Goyal et al. 2020 */
    SIGNIFICANCE_RANDOM,   /* a hash of the row's position: a baseline */
    SIGNIFICANCE_FIRST     /* the first rows stay: another baseline (PoWER-BERT's Head-WS) */
} significance;

/* No row. */
#define NO_ROW SIZE_MAX

/* Chooses the rows of one sequence that stay.
 *   scores         [length]; rows of higher scores stay, of equal ones the earlier
 *   kept           [keep] receives their indices, ascending
 *   protected      a row that always stays; NO_ROW: none
 *   scratch        [length] words */
void retire_choose(const float *scores, size_t length, size_t keep, size_t protected, size_t *kept, uint64_t *scratch);

/* The ranks of one sequence's rows by score, 0 for the highest; of equal scores the earlier row comes first. scratch
 * [length]. */
void retire_rank(const float *scores, size_t length, uint32_t *ranks, uint64_t *scratch);

#endif
