/* The middle of Nyström attention (Xiong et al. 2021): of every sequence and head, Z b with Z an approximate inverse of
 * A = softmax(scale q k^T), q and k [m, head_size] the landmarks of queries and keys. */
#ifndef RUBATO_ATTENTION_NYSTROM_INVERSE_H
#define RUBATO_ATTENTION_NYSTROM_INVERSE_H

#include "elastic/batch.h"
#include "tensor/run.h"

typedef struct nystrom_inverse {
    tensor query, key, rows;    /* [landmarks, heads * head_size]: q, k, b */
    tensor values;              /* [rows, heads * head_size] */
    batch landmarks, sequences; /* sequences: of `values` */
    const bool *whole; /* [sequences]: the result is the sequence's values, which are as many as its landmarks */
    size_t heads, head_size;
    float scale;
} nystrom_inverse;

/* out [landmarks, heads * head_size]. Z comes from six steps of Newton and Schulz's kind,
 *   Z <- Z (13 I - A Z (15 I - A Z (7 I - A Z))) / 4,
 * and begins as A^T divided by the largest sum of a column of A among all heads of the sequence, as in `transformers`.
 * When recording, `inputs` are copied, but not their arrays. */
void nystrom_inverse_run(const run *on, tensor out, const nystrom_inverse *inputs);

#endif
