/* A few queries that see all rows of their sequence, for which the rows are not projected to keys and values: with
 * q . (W_k x + b_k) = (W_k^T q) . x + c, where c is the same for all rows and leaves the softmax as it is, and the sum
 * of p (W_v x + b_v) = W_v (the sum of p x) + b_v, a query costs products with the rows as they stand. That is less
 * than projecting them where queries times heads are fewer than the features of a row. With f32 weights. */
#ifndef RUBATO_ATTENTION_UNPROJECTED_H
#define RUBATO_ATTENTION_UNPROJECTED_H

#include "elastic/batch.h"
#include "tensor/run.h"

typedef struct unprojected {
    tensor query;          /* [queries, heads * head_size], projected */
    tensor x;              /* [rows, features] */
    const linear *stacked; /* keys and values, stacked, in f32 */
    size_t whole;          /* the outputs of each */
    const batch *sequences,
        *queries; /* rows, and queries, of each sequence; in training they live as long as the tape */
    size_t heads, head_size;
    float scale;
    float *received; /* [rows] gets the attention that each row received, summed over queries and heads; NULL: it is
                        not wanted */
    const size_t *own_row; /* of each query, whose own attention is not received; NULL: it is */
} unprojected;

/* out [queries, heads * head_size]. A sequence's result depends on its rows and queries alone, to the bit. */
void attention_unprojected(const run *self, tensor out, const unprojected *in);

#endif
