/* What a Funnel-Transformer's attention has besides queries, keys and values (Dai et al. 2020, appendix A.2). */
#ifndef RUBATO_MODEL_RELATIVE_H
#define RUBATO_MODEL_RELATIVE_H

#include "attention/attention.h"

typedef struct loader loader;
typedef struct layer layer;

typedef struct layer_terms {
    linear kernel;  /* W_R, [hidden, hidden], without bias */
    tensor far;     /* [2 reach + 1, hidden]: the sinusoids of all distances times it; data is NULL where it learns */
    table v, w;     /* [heads, head size]; u is the bias of the queries */
    table segments; /* [2, hidden]: of keys of another segment, and of the same */
} layer_terms;

/* A row a distance from -reach (key before query is positive) to reach, sines and cosines at falling frequencies. */
void relative_sinusoids(tensor out, size_t reach);

/* Loads the terms "LEAD.r_kernel" and so on of a layer that is loaded, and binds them where training asks. */
rubato_status relative_load(loader *load, layer *out, size_t heads, const char *lead, tensor sinusoids);

/* The terms of one pass over sequences that were `longest` rows at most; in the run's arena. NULL when memory is short.
 */
relative_terms *relative_ready(const run *on, const layer *weights, size_t longest, const int32_t *types,
                               bool first_apart);

#endif
