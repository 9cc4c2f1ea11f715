/* Relative attention of XLNet (Yang et al. 2019) and the Funnel-Transformer (Dai et al. 2020, appendix A.2), with the
 * letters of Transformer-XL (Dai et al. 2019). Its terms are added to the scores and depend on the query,
 *   (q - u + v) . far[k - i]   and   (q - u + w) . segments[same],
 * for a query at position i and a key at position k. The query already contains u, for its product with keys. */
#ifndef RUBATO_ATTENTION_RELATIVE_H
#define RUBATO_ATTENTION_RELATIVE_H

#include "attention/softmax.h"
#include "store/loader.h"

/* ---- Parameters of a layer (relative_load.c) ---- */

typedef struct relative_weights {
    linear kernel; /* W_R, [hidden, hidden], without bias */
    tensor far; /* [2 reach + 1, hidden]: the sinusoids of all distances times `kernel`; data is NULL where it learns */
    table v, w; /* [heads, head size]; u is the bias of the queries */
    table segments; /* [2, hidden]: one row for keys of the same segment, one for others */
} relative_weights;

/* The differences between the families. */
typedef struct relative_form {
    bool first_apart; /* the first row of a sequence has neither term, as query or as key (Funnel-Transformer) */
    bool same_first;  /* the first row of `segments` is for keys of the same segment; and types are compared as they
                         are, where else type 2, of the first row, is in every segment (XLNet) */
} relative_form;

/* Sines and cosines for all distances within sequences of at most `longest` rows, [2 longest - 1, width], in the
 * loader's memory. All layers share them. */
rubato_status relative_sinusoids(loader *load, tensor *out, size_t longest, size_t width);

/* Loads the terms "LEAD.r_r_bias" and so on of a layer whose queries, keys and values are loaded already, and binds
 * them for training. kernel: the end of W_R's name, NULL: "r_kernel". */
rubato_status relative_load(loader *load, relative_weights *out, linear *qkv, size_t heads, const char *lead,
                            const char *kernel, tensor sinusoids);

/* ---- Terms of a pass (relative_terms.c) ---- */

/* One vector or two, and the gradient that training adds to. */
typedef struct relative_vector {
    const float *values;
    float *grad; /* NULL when not recording */
} relative_vector;

typedef struct relative_terms {
    tensor far; /* [2 reach + 1, heads * head_size], row `reach` for distance 0 */
    size_t reach;
    relative_vector u, v, w;  /* [heads * head_size] */
    relative_vector segments; /* [2][heads * head_size]; values NULL: no such term, and w is not read */
    const int32_t *types;     /* of the original rows */
    relative_form form;
} relative_terms;

/* The terms of one pass over sequences of at most `longest` original rows, in the run's arena; NULL on a failed run. */
relative_terms *relative_ready(const run *on, const relative_weights *from, const linear *qkv, tensor sinusoids,
                               size_t longest, const int32_t *types, relative_form form);

extern const score_term_kind score_term_relative; /* its values are relative_terms */

#endif
