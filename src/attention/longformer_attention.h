/* Sliding windows with global tokens (Beltagy et al. 2020, Longformer). */
#ifndef RUBATO_ATTENTION_LONGFORMER_ATTENTION_H
#define RUBATO_ATTENTION_LONGFORMER_ATTENTION_H

#include "attention/attending.h"

typedef struct longformer_setting {
    size_t window;     /* keys that a token sees around it, even; and itself */
    size_t globals;    /* the first tokens of a text that see all tokens, and that all tokens see */
    int32_t separator; /* not negative: the tokens before the first one of this kind are global, too (questions) */
    bool own_weights;  /* the checkpoint has projections of global tokens, also where no token is global */
    size_t dilation;   /* windows of dilated heads have every so manieth key, and are so many times as wide; 0: 1 */
    size_t dilated;    /* heads that are dilated, always the last ones; 0: all */
} longformer_setting;

enum { LONGFORMER_WIDEST = 1 << 24, LONGFORMER_DILATION = 1 << 10 };

extern const attending attending_longformer;

/* For families whose attention it is. */
void longformer_choose(part_choice *out, longformer_setting setting);

#endif
