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

extern const attending attending_softmax;

void softmax_choose(part_choice *out, softmax_setting setting);

#endif
