/* A packed batch: the tokens of several sequences one after the other, without padding.
 *
 *   row       0    1    2    3    4    5    6    7    8
 *   token   [CLS]  a    b  [SEP] [CLS] c  [SEP] ...
 *   start     0                   4             7 */
#ifndef RUBATO_ELASTIC_BATCH_H
#define RUBATO_ELASTIC_BATCH_H

#include <stddef.h>
#include <stdint.h>

typedef struct batch {
    size_t sequences, rows;
    const size_t *start;        /* [sequences + 1] */
    const int32_t *ids, *types; /* [rows] */
} batch;

static inline size_t batch_length(const batch *b, size_t sequence) {
    return b->start[sequence + 1] - b->start[sequence];
}

static inline size_t batch_longest(const batch *b) {
    size_t longest = 0;
    for (size_t i = 0; i < b->sequences; i++)
        if (batch_length(b, i) > longest) longest = batch_length(b, i);
    return longest;
}

#endif
