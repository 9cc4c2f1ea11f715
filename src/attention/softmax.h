/* softmax(Q K^T scale + terms) V over packed sequences (Vaswani et al. 2017), and its derivative.
 *
 * Inputs are the packed projections of all sequences; a sequence's rows attend to that sequence's rows only. */
#ifndef RUBATO_ATTENTION_SOFTMAX_H
#define RUBATO_ATTENTION_SOFTMAX_H

#include "elastic/batch.h"
#include "tensor/run.h"

typedef struct attention attention;

/* Scores of some queries of one head and one sequence with all its keys. */
typedef struct score_block {
    size_t head;
    float *scores; /* [rows, length], or their gradients */
    size_t stride;
    size_t start, length; /* rows of the keys */
    size_t query, rows;   /* rows of the queries */
} score_block;

/* What joins the scores besides products of queries and keys. Functions that a kind lacks are NULL. */
typedef struct score_term_kind {
    /* What all blocks of a pass need of the values, in the run's arena; NULL on a failed run. */
    void *(*prepare)(const void *values, const run *on, const attention *in);
    /* Floats of scratch for blocks of at most so many queries, forward or backward. */
    size_t (*room)(const void *values, const attention *in, size_t queries, bool backward);
    void (*add)(const void *values, const void *prepared, const kernel_table *kernels, const attention *in,
                const score_block *to, float *room);
    /* Adds what the scores' gradients, in which the scale is, mean for the term's values and for the queries. What
     * sequences share has one owner: the blocks of one head come one after the other. */
    void (*backward)(const void *values, const run *on, const attention *in, const score_block *grads, float *room);
} score_term_kind;

typedef struct score_term {
    const score_term_kind *kind;
    const void *values; /* of the kind; outlives the tape when recording */
} score_term;

enum { MOST_TERMS = 2 };

struct attention {
    tensor query, key, value; /* [rows, heads * head_size] */
    /* Where queries are fewer than keys: which of query's rows are whose, and the original row of each. NULL: a query
     * stands at every key. Significance needs a query at every key. */
    const batch *queries;
    const size_t *query_origin;
    size_t heads, head_size;
    float scale;
    /* The original row of each key, where rows have retired; NULL: none has. */
    const size_t *origin;
    score_term terms[MOST_TERMS]; /* the first without a kind ends them */
    /* Receives, per row, the attention it got from all queries of its sequence over all heads (before dropout), without
     * its own when others_only; NULL for none. */
    float *significance;
    bool others_only;
    bool low;     /* both products in a lower precision (operand.h); not when recording */
    size_t layer; /* for who watches the scores, counted from 1 */
};

/* out [rows of query, heads * head_size] = concatenated heads. A block of queries at a time: scores never exist for
 * more than some hundred kilobytes, whatever the length. When recording, attention probabilities are dropped out at the
 * tape's rate, and `inputs` and the batches are copied, but not their arrays. */
void attention_softmax(const run *self, tensor out, const attention *inputs, const batch *sequences);

/* Its operations: `asking` queries of `heads_width` features on `entering` keys. */
static inline double softmax_products(double entering, double asking, double heads_width) {
    return 4 * entering * asking * heads_width;
}

/* ---- For terms ---- */

/* The original row of a query. */
static inline size_t attention_original(const attention *in, size_t query) {
    const size_t *origin = in->queries ? in->query_origin : in->origin;
    return origin ? origin[query] : query;
}

/* The place of a query in its sequence, whose keys begin at row `start`. */
static inline size_t attention_place_of(const attention *in, size_t start, size_t query) {
    return attention_original(in, query) - (in->origin ? in->origin[start] : start);
}

#endif
