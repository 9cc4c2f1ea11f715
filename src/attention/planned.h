/* Mechanisms whose heads see keys by the places of queries and keys in the text. Such a mechanism is a setting, a plan
 * of blocks (gathered.h) and a count of operations; its projections are a dense layer's. Places are counted from a
 * sequence's first row; a row that has retired leaves a gap and moves no other row. */
#ifndef RUBATO_ATTENTION_PLANNED_H
#define RUBATO_ATTENTION_PLANNED_H

#include "attention/gathered.h"

/* A layer's weights; for a mechanism's `load`. */
typedef struct planned_weights {
    projections with; /* first, as projections.h has it */
    const void *setting;
} planned_weights;

rubato_status planned_load(void **out, const part_source *from);

/* One pass: what a plan's functions get as `of`. */
typedef struct planned_pass {
    attending_input in;
    const void *setting;
    /* Where there are groups: rows of keys, and of queries, by group and place; and where groups begin, for each
     * sequence [groups + 1]. */
    size_t groups;
    size_t *key_order, *query_order, *key_groups, *query_groups;
} planned_pass;

/* A plan. Functions are as gather_plan has them. */
typedef struct planned_form {
    bool (*block)(const void *of, size_t sequence, size_t head, size_t number, query_block *out);
    stretch (*seen)(const void *of, size_t sequence, size_t head, size_t query, stretch keys);
    /* The group of a place, below `groups`: blocks and stretches of a head with groups count rows by group, and then
     * by place. NULL: no head has groups. has_groups NULL: all heads have. */
    size_t (*group)(const planned_pass *of, size_t place);
    bool (*has_groups)(const planned_pass *of, size_t head);
} planned_form;

/* The same for mechanisms that plan by themselves: sets the pass's groups and their rows, by a form with `group`. False
 * on a failed run. */
bool planned_make_groups(planned_pass *of, const run *on, const planned_form *form, size_t groups);

/* Their rows in order, as gather_plan.order has them. */
const size_t *planned_order(const planned_pass *of, size_t sequence, bool queries);

/* A mechanism's `forward`. groups: the number of groups, 0 for a form without. */
void planned_forward(const void *weights, const run *on, const attending_input *in, tensor out,
                     const planned_form *form, size_t groups);

/* Tokens of a sequence, those among them that have retired. */
size_t planned_length(const planned_pass *of, size_t sequence);

/* The place of a query, which is counted within its sequence as it stands. */
size_t planned_place(const planned_pass *of, size_t sequence, size_t query);

/* The keys, and the queries, at places [first, end). */
stretch planned_keys(const planned_pass *of, size_t sequence, size_t first, size_t end);
stretch planned_queries(const planned_pass *of, size_t sequence, size_t first, size_t end);

/* The same for a head with groups, within one group. */
stretch planned_group_keys(const planned_pass *of, size_t sequence, size_t group, size_t first, size_t end);
stretch planned_group_queries(const planned_pass *of, size_t sequence, size_t group, size_t first, size_t end);

/* Block `number` of a head with groups: the queries of that group, which see its keys. False: there is none. */
bool planned_group_block(const planned_pass *of, size_t sequence, size_t number, query_block *out);

/* Makes the queries a block's. */
void planned_ask(query_block *block, stretch queries);

/* Puts a stretch of keys into a block, unless it is empty. */
void planned_see(query_block *block, stretch keys, float bonus);

/* ---- Costs ---- */

/* Pairs of a query and a key of one head, for a text of that many keys and queries. */
typedef double planned_pairs(const void *setting, double keys, double queries);

/* For a mechanism's `count` and `demand`. */
operations planned_count(const void *setting, const part_extent *of, planned_pairs *pairs);
attending_demand planned_demand(const void *weights, size_t sequences, size_t length, planned_pairs *pairs);

/* The same for weights that are not planned_weights. */
attending_demand planned_heads_demand(const projections *with, const void *setting, size_t sequences, size_t length,
                                      planned_pairs *pairs);

/* What the tables of these mechanisms share. */
#define PLANNED                                                                                                        \
    .yields_received = true, .fewer_queries = true, .narrows = true, .load = planned_load,                             \
    .allow_narrow = projections_allow_narrow, .visit = projections_visit

#endif
