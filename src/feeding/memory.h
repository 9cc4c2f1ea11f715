/* A memory with product keys: a table of many rows, of which each token reads a few (Lample et al. 2019, "Large Memory
 * Layers with Product Keys"; beside a feed-forward part: Kim and Jung 2020, "Large Product Key Memory for Pretrained
 * Language Models").
 *
 * A query of a row and a head has two halves, and so has the key of a slot: slot a * side + b has the a-th first half
 * and the b-th second half, so that 2 * side half keys make side^2 slots. The score of a slot is the sum of the scores
 * of its halves. The k best slots are among the pairs of the k best halves, and those are few; no other slot is looked
 * at. A softmax over the scores of the k slots gives their weights, and the result is the weighted sum of their rows,
 * over all heads. Equal scores: the lower slot comes first. */
#ifndef RUBATO_FEEDING_MEMORY_H
#define RUBATO_FEEDING_MEMORY_H

#include "feeding/feeding.h"

typedef enum memory_form {
    MEMORY_RES,   /* beside the feed-forward part: LN(x + FeedForward(x) + Memory(x)) */
    MEMORY_PKM,   /* instead of it: LN(x + Memory(x)) */
    MEMORY_AFTER, /* after the layer's last norm: y + Memory(y) */
    MEMORY_FORMS
} memory_form;

enum { MOST_SIDE = 8192, MOST_SELECTED = 1024 };

typedef struct memory_setting {
    uint32_t side;     /* slots: side * side */
    uint32_t heads;    /* each with its own keys; all read the same values */
    uint32_t selected; /* slots that a head reads; at most side */
    uint32_t query;    /* features of a head's query, even */
    uint8_t form;
    bool normal; /* queries pass a batch normalisation */
    bool shared; /* one table of values for all memories of the model */
    bool gated;  /* Memory Layers at Scale (Berges et al. 2024): (Memory(x) * silu(x G)) O */
} memory_setting;

typedef struct memory {
    const memory_setting *setting;
    void *dense; /* the feed-forward part beside the memory; NULL: none */
    linear query;
    batch_norm norm;
    linear *keys; /* [heads][2]: side rows of query / 2 features */
    const table *values;
    table own;        /* what `values` points to, in the first layer that has them */
    linear gate, out; /* of gated memories */
} memory;

/* The slots that rows selected: [rows][heads * selected] slots and weights; a head's slots by falling weight. */
typedef struct memory_choice {
    uint32_t *slots;
    float *weights;
    size_t rows, heads, selected, side;
} memory_choice;

/* Selects the slots of `choice->rows` rows for one head from the scores of its half keys, [rows, side] each. */
void memory_select(const run *on, tensor first, tensor second, size_t head, const memory_choice *choice);

/* out [rows, width] = the weighted sums of the values' rows.
 *   first, second  [heads] the scores, for their derivatives; NULL in inference */
void memory_sum(const run *on, tensor out, const table *values, const memory_choice *choice, const tensor *first,
                const tensor *second);

extern const feeding feeding_memory;

#endif
