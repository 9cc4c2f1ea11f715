/* Attention mechanisms. One file each; a model names one in its configuration.
 *
 * Inputs are the packed projections of all sequences; a sequence's rows attend to that sequence's rows only. */
#ifndef RUBATO_ATTENTION_ATTENTION_H
#define RUBATO_ATTENTION_ATTENTION_H

#include "elastic/batch.h"
#include "tensor/tape.h"

/* A vector, or two, and what training adds to its gradient. */
typedef struct term {
    const float *values;
    float *grad; /* NULL when not recording */
} term;

/* Terms that join the scores and depend on the query: (q - u + v) . far[k - i], and (q - u + w) . segments[same], for a
 * query that stood at i and a key at k; u is in the query already, for what it multiplies keys with
 * (Funnel-Transformer, after Dai et al. 2019's Transformer-XL, whose letters these are). */
typedef struct relative_terms {
    tensor far; /* [2 reach + 1, heads * head_size], row `reach` for distance 0 */
    size_t reach;
    term u, v, w;         /* [heads * head_size] */
    term segments;        /* [2][heads * head_size]: keys of another segment, of the same */
    const int32_t *types; /* of the original rows; those of `all` are in every segment */
    int32_t all;
    bool first_apart; /* a sequence's first row has neither term, as query or as key */
} relative_terms;

typedef struct attention {
    tensor query, key, value; /* [rows, heads * head_size] */
    /* Where fewer rows ask than are asked: which of query's rows are whose, and where each stood. NULL: query's rows
     * are those of key. Significance is for queries that are all. */
    const batch *queries;
    const size_t *query_origin;
    size_t heads, head_size;
    float scale;
    /* Added to the scores by distance: bias[head * bias_stride + key - query + bias_reach], NULL for none. Where rows
     * have retired, origin [rows] says where each stood; NULL: none has. */
    const float *bias;
    float *bias_grad; /* the same shape, += when recording; may be NULL */
    size_t bias_stride, bias_reach;
    const size_t *origin;
    const relative_terms *relative; /* NULL: none */
    /* Receives, per row, the attention it got from all queries of its sequence over all heads (before dropout), without
     * its own when others_only; NULL for none. */
    float *significance;
    bool others_only;
    bool narrow; /* both products in a lower form (operand.h); not when recording */
} attention;

/* out [rows of query, heads * head_size] = concatenated heads. False when memory is short. When recording, attention
 * probabilities are dropped out at the tape's rate, and `inputs` and the batches are copied, but not their arrays. */
typedef bool attention_function(const run *self, tensor out, const attention *inputs, const batch *sequences);

/* softmax(Q K^T scale + bias) V, Vaswani et al. 2017. A block of queries at a time: scores never exist for more than
 * some hundred kilobytes, whatever the length. */
attention_function attention_softmax;

#endif
