/* A bias by distance that all layers share: head h adds bias[h][key - query] to its scores. It is learned for buckets
 * of distances (MPNet, Song et al. 2020; buckets of Raffel et al. 2019), or falls by a slope (ALiBi, Press et al.
 * 2021). */
#ifndef RUBATO_ATTENTION_DISTANCE_BIAS_H
#define RUBATO_ATTENTION_DISTANCE_BIAS_H

#include "attention/softmax.h"
#include "store/loader.h"

typedef struct distance_bias {
    table buckets; /* [buckets, heads] as stored; data NULL: nothing is learned */
    size_t heads, reach;
    float *values; /* the same by distance: [heads][2 reach + 1] */
    float *grad;   /* the same shape; NULL in models that do not learn */
} distance_bias;

/* Loads the table of that name into the loader's memory. longest: the rows of the longest sequence. */
rubato_status distance_bias_load(loader *load, distance_bias *out, const char *name, size_t buckets, size_t heads,
                                 size_t longest);

/* Makes the bias of ALiBi in the loader's memory: -slope |key - query|. For 2^k heads the slopes are 2^(-8 / 2^k) and
 * its powers. For another number of heads the first slopes are those of the next smaller power of two, and the others
 * are every second slope of the next larger one. */
rubato_status distance_bias_fall(loader *load, distance_bias *out, size_t heads, size_t longest);

/* Computes the values from the table; and adds the gradient by distance to the table's. */
void distance_bias_spread(distance_bias *self);
void distance_bias_collect(distance_bias *self);

extern const score_term_kind score_term_distance; /* its values are a distance_bias */

#endif
