/* The shape of MobileBERT's layers (Sun et al. 2020): both parts work at a width below that of the rows between layers.
 * Attention hands on both: [rows, hidden + narrow], the rows as they were and its own output. */
#ifndef RUBATO_ATTENTION_BOTTLENECK_H
#define RUBATO_ATTENTION_BOTTLENECK_H

#include "attention/attending.h"

typedef struct bottleneck_setting {
    uint32_t narrow; /* width of attention and feed-forward parts */
    uint32_t stack;  /* feed-forward parts of a layer */
    bool shared;     /* queries and keys read rows of their own bottleneck */
    bool all;        /* queries, keys and values read the narrow rows */
} bottleneck_setting;

extern const attending attending_bottleneck;

#endif
