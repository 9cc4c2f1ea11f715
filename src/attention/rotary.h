/* Rotary positions (Su et al. 2021): pairs of a query's or key's features are turned by an angle that grows with the
 * place in the text, so that scores depend on distances. As in transformers, feature j of a head's first half is paired
 * with feature j of its second half. */
#ifndef RUBATO_ATTENTION_ROTARY_H
#define RUBATO_ATTENTION_ROTARY_H

#include "attention/attending.h"

typedef struct rotary {
    size_t half, places; /* pairs of features that turn; places in the longest text */
    const float *turns; /* [places, 2 * half]: cosines, then sines. Pair j turns by place / (slower theta^(j / half)) */
} rotary;

/* Makes the turns for heads of that many features. slower: 1, or as a scaling of the places asks. Fails:
 * OUT_OF_MEMORY, UNSUPPORTED for an odd size. */
rubato_status rotary_make(rotary *out, double theta, double slower, size_t head_size, size_t places, arena *memory,
                          rubato_error *error);

/* The places of a pass's keys [rows of x], or of its queries [query rows], in the run's arena. */
const size_t *rotary_places(const run *on, const attending_input *in, bool queries);

/* Turns all heads of x [rows, heads * head_size] in place, and its gradient back; places [rows] must live as long as
 * the tape. */
void run_rotary(const run *on, const rotary *by, tensor x, size_t head_size, const size_t *places);

#endif
