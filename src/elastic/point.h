/* An operating point: what of a model runs, and how many rows each layer leaves. The one type that training samples,
 * search finds and serving chooses among.
 *
 * Rows are kept as a part of a sequence's own length, so that a text keeps the same rows alone and in any batch, and
 * there is no padding to count (the papers count rows of a padded batch). */
#ifndef RUBATO_ELASTIC_POINT_H
#define RUBATO_ELASTIC_POINT_H

#include "elastic/exit.h"
#include "elastic/merge.h"

enum { POINT_LAYERS = 64, POINT_NAME = 32, NEURON_STEP = 32 };

typedef struct point {
    char name[POINT_NAME];
    size_t layers;               /* of the model; at most POINT_LAYERS */
    bool skip[POINT_LAYERS];     /* the layer does not run */
    float keep[POINT_LAYERS];    /* rows that layer i hands on, as a part of the sequence's length; 1: all */
    bool merge[POINT_LAYERS];    /* the layer's rows ask two by two and go on as one; its `keep` does not count then */
    float heads[POINT_LAYERS];   /* part of the layer's heads that run, the first ones; 1: all */
    float neurons[POINT_LAYERS]; /* the same of the feed-forward part's neurons */
    exit_setting exit;
    float
        alive[POINT_LAYERS]; /* with exits: the part of texts, or tokens, that still run in layer i, as search saw it */
    float present[POINT_LAYERS]; /* where tokens leave: the part that is still attended to */
    bool narrow;                 /* products in the lower of a model's two precisions */
    double quality;              /* measured by search; NaN while unknown */
    double flops_ratio;          /* of the full model, over the data that search saw */
    double ms;                   /* measured, one text at a time; NaN while unknown */
} point;

/* Every layer and every row, in the higher precision. */
point point_full(size_t layers);

/* Every layer, row and neuron, nothing merges that need not and nothing leaves early; in either precision. */
bool point_is_full(const point *self);

/* How many layers run. */
size_t point_depth(const point *self);

/* Heads and neurons that run in a layer: rounded to whole heads and to NEURON_STEP neurons; at least one head, one
 * step. */
size_t point_heads(const point *self, size_t layer, size_t heads);
size_t point_neurons(const point *self, size_t layer, size_t inner);

/* Whether some layer is narrower than the model's. */
bool point_is_slim(const point *self);

/* What an encoder's layers are made of, for counting. */
typedef struct layer_shape {
    size_t hidden, inner, heads, layers;
    merging how;     /* rows merge, where they do */
    uint64_t merges; /* bit i: layer i merges rows whatever the point; models with more layers than bits have none */
    bool relative;   /* queries are multiplied by every distance, too */
    size_t decoder;  /* the layer before which all rows come back (Funnel-Transformer); 0: there is none */
} layer_shape;

/* Rows of a sequence that a layer sees: those that enter it are keys and values, those that ask are its queries, and
 * those that leave its attention go on. */
typedef struct layer_rows {
    size_t entering, asking, leaving;
} layer_rows;

/* Whether a layer's rows merge, by the model's shape or the point's wish (NULL: full). */
bool point_merges(const point *self, const layer_shape *shape, size_t layer);

/* Rows merge in `count` layers, evenly spread, as in a Funnel-Transformer of equal blocks; fewer than there are. */
void point_merge_evenly(point *self, size_t count);

/* Of a sequence of `length` rows, of which the layers before left `rows`: at least one leaves, never more than enter,
 * keep * length rounded up. A skipped layer hands on what enters. point NULL: full. */
layer_rows point_rows(const point *self, const layer_shape *shape, size_t layer, size_t length, size_t rows);

/* Floating-point operations (a multiply and an add are two) of the products of all layers for one sequence. With
 * a rows entering a layer, q asking and b leaving its attention, h of its d columns in the heads that run and f
 * neurons: 2 (a + q) 2 d h + 2 2 a q h + 2 b 2 d f, and where scores depend on distances 2 q 2 length h; with exits
 * what is expected, by the part of texts that is alive in each layer, and where tokens leave: keys and values of those
 * present, the rest of those alive. norms, when not NULL, receives the elements that layer normalisation passes over:
 * (q + b) d a layer; half of the operations plus those is what the Length-Adaptive Transformer's authors count as
 * multiply-accumulates. */
double point_flops(const point *self, const layer_shape *shape, size_t length, double *norms);

#endif
