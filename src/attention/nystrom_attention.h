/* Nyström attention (Xiong et al. 2021), for the families that choose it. */
#ifndef RUBATO_ATTENTION_NYSTROM_ATTENTION_H
#define RUBATO_ATTENTION_NYSTROM_ATTENTION_H

#include "attention/attending.h"

typedef struct nystrom_setting {
    size_t landmarks; /* a text of at most so many tokens has dense attention; 0: all texts have */
    size_t taps;      /* of a convolution of values over tokens, an odd number; 0: there is none */
} nystrom_setting;

extern const attending attending_nystrom;

/* Fails: BAD_MODEL for numbers out of range. */
rubato_status nystrom_check(const nystrom_setting *self, rubato_error *error);

#endif
