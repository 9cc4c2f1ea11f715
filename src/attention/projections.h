/* The projections of a mechanism of attention: one stacked product makes queries, keys and values from the rows, and
 * another product projects the output of the heads back, with the rows as its residual. A mechanism whose weights begin
 * with these owns its heads alone. */
#ifndef RUBATO_ATTENTION_PROJECTIONS_H
#define RUBATO_ATTENTION_PROJECTIONS_H

#include "attention/attending.h"

/* What is projected; a sum of these. KEYS_LIKE_QUERIES: the queries' layer makes the keys too. */
typedef enum projected_part { QUERIES = 1, KEYS = 2, VALUES = 4, ALL_THREE = 7, KEYS_LIKE_QUERIES = 8 } projected_part;

typedef struct projections {
    linear stacked; /* the projections that `parts` names: queries, keys, values */
    linear out;
    size_t heads, head_size;
    unsigned parts;
    const struct rotary *turn; /* of queries and keys; NULL: none */
} projections;

/* Loads them under the family's names. Fails as the loader. */
rubato_status projections_load(projections *self, const part_source *from);

/* The same of a mechanism that does not project all three. */
rubato_status projections_load_some(projections *self, const part_source *from, unsigned parts);

/* For a mechanism's table; `weights` begin with the projections. */
rubato_status projections_allow_narrow(void *weights, arena *memory, rubato_error *error);
void projections_visit(void *weights, linear_visitor *visit, void *user);

typedef struct projected {
    tensor query, key, value; /* [rows, heads that run * head_size]; queries of the query rows; no data on a failed run,
                                 and of what is not projected */
} projected;

/* Queries, keys and values of the heads that run, which watchers see. half: in bfloat16 where their product gives it
 * (run_tensor_half). */
projected projections_read(const projections *self, const run *on, const attending_input *in, bool half);

/* out = residual + mixed W^T + b, which watchers see. mixed [rows of query_rows, heads that run * head_size]. */
void projections_write(const projections *self, const run *on, const attending_input *in, tensor mixed, tensor out);

/* Their operations: with a rows entering, q asking, h of d features in the heads that run, keys and values are 2 a d h
 * each, queries and output 2 q d h each. */
operations projections_count(const part_extent *of);
operations projections_count_some(const part_extent *of, unsigned parts);

/* The demand of a mechanism that multiplies its heads in f32; flops: of its own products. */
attending_demand projections_demand(const projections *self, double flops, size_t sequences, size_t length);

#endif
