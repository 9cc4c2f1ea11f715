/* The setting of attending_softmax, for the families that have one. */
#ifndef RUBATO_ATTENTION_SOFTMAX_ATTENTION_H
#define RUBATO_ATTENTION_SOFTMAX_ATTENTION_H

#include "attention/attending.h"

/* All zero: scores are products of queries and keys alone. */
typedef struct softmax_setting {
    size_t buckets;  /* of a bias by distance that all layers share (MPNet); 0: there is none */
    bool relative;   /* terms by distance and by segment (Funnel-Transformer) */
    bool with_first; /* a sequence's first row has these terms, too */
} softmax_setting;

void softmax_choose(part_choice *out, softmax_setting setting);

/* Operations of scores and mixing alone: `asking` queries of `heads_width` features on `entering` keys. */
double softmax_products(double entering, double asking, double heads_width);

#endif
