/* Keys and values that a causal layer keeps from one pass of a text to the next (tensor/state.h). */
#ifndef RUBATO_ATTENTION_KEPT_KEYS_H
#define RUBATO_ATTENTION_KEPT_KEYS_H

#include "attention/projections.h"

/* The keys of a pass: the kept keys of a text stand before its new keys. */
typedef struct kept_keys {
    batch packed;
    size_t *places; /* [rows] in the text */
} kept_keys;

/* The first place that tokens from `next` on still see. */
typedef size_t first_seen(const void *setting, size_t next);

/* Puts the kept keys and values before the keys and values of `rows`. The layer then keeps the rows from first() on,
 * which later tokens see; first NULL: all rows. False on a failed run. */
bool kept_keys_join(const run *on, const attending_input *in, first_seen *first, const void *setting, projected *rows,
                    kept_keys *out);

#endif
