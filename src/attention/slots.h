/* Neighbouring tokens as one: slots of `ratio` tokens, which do not overlap. A token that is missing, at the end of the
 * text or because it has retired, counts as zeros; a slot without a token is left out. */
#ifndef RUBATO_ATTENTION_SLOTS_H
#define RUBATO_ATTENTION_SLOTS_H

#include "attention/attending.h"

typedef struct slots {
    size_t ratio;
    size_t *of, *part; /* [rows]: a row's slot, and as which of its tokens it is there */
    size_t *last;      /* [slots] the place of a slot's last token, which may be behind the text's end */
    batch packed;      /* of slots */
} slots;

/* In the run's arena; `of` is NULL on a failed run. */
slots slots_find(const run *on, const attending_input *in, size_t ratio);

/* [slots, outputs of `by`]: the rows of each slot side by side, through a layer of ratio * columns inputs. */
tensor slots_through(const run *on, tensor x, const slots *of, const linear *by);

#endif
