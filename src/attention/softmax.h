/* softmax(Q K^T scale + terms) V over packed sequences (Vaswani et al. 2017), and its derivative.
 *
 * The inputs are the packed projections of all sequences. The rows of a sequence attend only to rows of that
 * sequence. */
#ifndef RUBATO_ATTENTION_SOFTMAX_H
#define RUBATO_ATTENTION_SOFTMAX_H

#include "elastic/batch.h"
#include "tensor/run.h"

typedef struct attention attention;

/* The scores of some queries of one head and one sequence, with all keys of the sequence. */
typedef struct score_block {
    size_t head;
    float *scores; /* [rows, length], or their gradients */
    size_t stride;
    size_t start, length; /* rows of the keys */
    size_t query, rows;   /* rows of the queries */
} score_block;

/* A term that is added to the products of queries and keys. Functions that a kind does not have are NULL. */
typedef struct score_term_kind {
    /* Prepares the values for all blocks of a pass, in the run's arena; NULL on a failed run. */
    void *(*prepare)(const void *values, const run *on, const attention *in);
    /* Floats of scratch for blocks of at most `queries` queries, forward or backward. */
    size_t (*room)(const void *values, const attention *in, size_t queries, bool backward);
    void (*add)(const void *values, const void *prepared, const kernel_table *kernels, const attention *in,
                const score_block *to, float *room);
    /* Adds the gradients of the term's values and of the queries, from the gradients of the scores, which include the
     * scale. The blocks of one head run one after the other, so that gradients that sequences share have one owner. */
    void (*backward)(const void *values, const run *on, const attention *in, const score_block *grads, float *room);
} score_term_kind;

typedef struct score_term {
    const score_term_kind *kind;
    const void *values; /* of the kind; must outlive the tape when recording */
} score_term;

enum { MOST_TERMS = 2 };

struct attention {
    tensor query, key, value; /* [rows, heads * head_size]; in bfloat16 where attention_reads_half, without terms, and
                                 watchers do not see scores then */
    /* Where there are fewer queries than keys: the sequences of the query rows, and their original rows. NULL: every
     * key row is also a query. Significance needs a query for every key. */
    const batch *queries;
    const size_t *query_origin;
    size_t heads, head_size;
    float scale;
    /* The original rows of the keys, where rows have retired; NULL: none has. */
    const size_t *origin;
    score_term terms[MOST_TERMS]; /* the first term without a kind ends the list */
    /* Receives, for each row, the attention from all queries of its sequence summed over all heads (before dropout),
     * without the row's own attention when others_only; NULL for none. */
    float *significance;
    bool others_only;
    bool low;     /* the products in low precision (operand.h); when recording, where attention_learns_low */
    size_t layer; /* counted from 1; for watchers of the scores */
};

/* Whether attention in low precision has a derivative: its products are in bfloat16 then, too. */
bool attention_learns_low(const kernel_table *kernels);

/* Whether attention in low precision reads queries, keys and values in bfloat16 (run_tensor_half). */
bool attention_reads_half(const kernel_table *kernels, size_t head_size);

/* out [query rows, heads * head_size] = concatenated heads. It runs one block of queries at a time, so that scores take
 * at most some hundred kilobytes, whatever the length. When recording, attention probabilities are dropped out at the
 * tape's rate, and `inputs` and the batches are copied, but not their arrays. */
void attention_softmax(const run *self, tensor out, const attention *inputs, const batch *sequences);

/* Its operations: `query_rows` queries of `heads_width` features on `entering` keys. */
static inline double softmax_products(double entering, double query_rows, double heads_width) {
    return 4 * entering * query_rows * heads_width;
}

/* ---- For terms ---- */

/* The original row of a query. */
static inline size_t attention_original(const attention *in, size_t query) {
    const size_t *origin = in->queries ? in->query_origin : in->origin;
    return origin ? origin[query] : query;
}

/* The position of a query in its sequence, whose keys begin at row `start`. */
static inline size_t attention_place_of(const attention *in, size_t start, size_t query) {
    return attention_original(in, query) - (in->origin ? in->origin[start] : start);
}

#endif
