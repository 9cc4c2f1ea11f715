/* Random features of the softmax's kernel (Choromanski et al. 2021, Performer, FAVOR+). */
#ifndef RUBATO_ATTENTION_PERFORMER_ATTENTION_H
#define RUBATO_ATTENTION_PERFORMER_ATTENTION_H

#include "attention/attending.h"

typedef struct performer_setting {
    size_t features;
    uint64_t seed;
    bool relu; /* features are relu(w x), and not exponentials */
} performer_setting;

extern const attending attending_performer;

/* The rows w, out [features, size]: blocks of `size` orthogonal rows with the lengths of normal ones, drawn by the
 * seed. Fails: OUT_OF_MEMORY. */
rubato_status performer_draw(const performer_setting *self, size_t size, float *out, rubato_error *error);

#endif
