/* The setting of attending_softmax, for families whose setting is not all zero. */
#ifndef RUBATO_ATTENTION_SOFTMAX_ATTENTION_H
#define RUBATO_ATTENTION_SOFTMAX_ATTENTION_H

#include "attention/attending.h"
#include "attention/relative.h"

/* All zero: scores are products of queries and keys alone. */
typedef struct softmax_setting {
    size_t buckets; /* buckets of a bias by distance that all layers share (MPNet); 0: no bias */
    bool alibi;     /* a bias that falls with the distance, by a slope for each head, without weights (ALiBi) */
    bool relative;  /* terms by distance and by segment (Funnel-Transformer, XLNet) */
    relative_form form;
    size_t reach; /* a row sees rows at most that many places away; 0: all */
} softmax_setting;

extern const attending attending_softmax;

void softmax_choose(part_choice *out, softmax_setting setting);

#endif
