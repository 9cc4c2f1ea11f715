/* Softmax attention in which every query sees some of the keys: blocks of queries with stretches of keys. A plan says
 * which; it belongs to a mechanism. Time and memory grow with the number of pairs of blocks and stretches, and neither
 * pass holds more than one block's scores. */
#ifndef RUBATO_ATTENTION_GATHERED_H
#define RUBATO_ATTENTION_GATHERED_H

#include "attention/projections.h"

/* Rows of keys [first, end) within their sequence. */
typedef struct stretch {
    size_t first, end;
} stretch;

enum { MOST_STRETCHES = 32 };

/* Queries [first, first + count) within their sequence, and the keys that they see: stretches that do not overlap. */
typedef struct query_block {
    size_t first, count;
    stretch keys[MOST_STRETCHES];
    float bonus[MOST_STRETCHES]; /* is added to the scores of a stretch; log m: its keys count m times */
    size_t stretches;
} query_block;

/* Its functions are called from several threads. */
typedef struct gather_plan {
    const void *of;
    /* The block of that number, from 0 on, of one sequence and head, into *out, which is zero; false: there is none.
     * Each query is in one block. */
    bool (*block)(const void *of, size_t sequence, size_t head, size_t number, query_block *out);
    /* The rows of a sequence in the order in which a head's blocks and stretches count them: of its keys, or of its
     * queries. NULL, of the function or as its value: as they stand. Where every row is a query both orders are one. */
    const size_t *(*order)(const void *of, size_t sequence, size_t head, bool queries);
    /* The part of a stretch that the query sees; it may be empty. NULL: all of it. */
    stretch (*seen)(const void *of, size_t sequence, size_t head, size_t query, stretch keys);
    /* Changes a query's scores of some keys: row [number of keys]. What is added or set does not learn. NULL: nothing.
     */
    void (*adjust)(const void *of, size_t sequence, size_t head, size_t query, stretch keys, float *row);
    /* The labels of a query's pairs with some keys, at most MOST_LABELLED: out [number of keys], below label_count. */
    void (*label)(const void *of, size_t sequence, size_t query, stretch keys, uint8_t *out);
} gather_plan;

enum { MOST_LABELLED = 256 };

typedef struct gathered {
    tensor query, key, value;         /* [rows, heads * head_size]; of the query rows, and of all */
    const batch *sequences, *queries; /* of the keys and of the queries */
    size_t heads, head_size;
    size_t depth; /* the features of a head's query and key, where there are not head_size; else 0 */
    float scale;
    gather_plan plan; /* its data must outlive the tape when recording */
    /* Of a causal model, the places in the text of keys [rows of keys] and of queries [query rows], which ascend within
     * each stretch and block: a query sees no key whose place is behind its own. NULL: not causal. */
    const size_t *key_place, *query_place;
    /* [query rows, heads * label_count]: what is added to a query's score of a key by their pair's label; without data:
     * nothing. */
    tensor labels;
    size_t label_count;
    tensor sums; /* [query rows, heads] receives the logarithms of the softmax's sums, to join it with others of the
                    same queries; without data: not needed */
    /* As in softmax.h; NULL for none. others_only: every row is a query then. */
    float *significance;
    bool others_only;
} gathered;

/* The heads of a layer's pass, without a plan; causal where the pass is. */
gathered gathered_heads(const projections *with, const attending_input *in, const projected *rows);

/* Every query sees all of its sequence's keys. keys, queries: the batches of both. The plan is in the run's arena;
 * false on a failed run. */
bool gathered_whole(const run *on, gathered *heads, batch keys, batch queries);

/* out [query rows, heads * head_size] = concatenated heads. A query that sees no key gets zeros. When recording,
 * probabilities are dropped out at the tape's rate, and `inputs` and the batches are copied, but not their arrays. */
void attention_gathered(const run *self, tensor out, const gathered *inputs);

#endif
