/* Rows of each head in lists of its own: copies of some rows, in any order and any number, which a mechanism's blocks
 * then count. */
#ifndef RUBATO_ATTENTION_LISTED_H
#define RUBATO_ATTENTION_LISTED_H

#include "tensor/run.h"

typedef struct head_lists {
    size_t heads, head_size, count;
    const size_t *rows; /* [heads][count]; must live as long as the tape */
} head_lists;

/* [count, heads * head_size]: of each head its columns of the rows in its list. */
tensor listed_rows(const run *on, tensor from, head_lists by);

/* to = 0, and then, in the lists' order, a row of `to` += weight * a row of `list`. weight [heads][count] must live as
 * long as the tape. */
void listed_sum(const run *on, tensor to, tensor list, head_lists by, const float *weight);

#endif
