/* The state of a forward pass between layers: the rows that are alive, and how rows retire, merge, leave and come back.
 * A failure sets the run's status; on a failed run the functions do nothing. */
#ifndef RUBATO_MODEL_PASSAGE_H
#define RUBATO_MODEL_PASSAGE_H

#include "model/encoder.h"

/* The rows that are alive, and their original rows. */
typedef struct alive {
    batch packed;
    size_t *origin; /* [rows] the original row, for merged rows the first; NULL: all original rows are there */
} alive;

typedef struct passage {
    const encoder *self;
    const run *on;
    const batch *input;
    const thinning *thin;
    alive now, next; /* next.packed.start is set before a layer runs, next.origin by it */
    tensor restored; /* [input rows]; data is NULL when rows are not restored */
    size_t *holder;  /* [input rows] the row of `now` that holds each, NOBODY: restored; NULL without `restored` */
    tensor detail;   /* [input rows] the difference of each from its merged row; data is NULL before any merging */
    /* Layers whose queries are not the rows themselves: rows merge in this layer, or some rows have left one by one. */
    bool merges;
    bool *halted;         /* [now rows]; NULL: none has */
    batch queries;        /* the sequences of the queries */
    size_t *active;       /* [queries.rows] their rows among those of now; not for merged rows */
    size_t *query_origin; /* [queries.rows] their original rows */
    const size_t *places; /* [input rows], of a causal model; else NULL */
    size_t layer;
} passage;

/* Prepares for rows that retire or leave and must come back. Each comes back as the last state of the row that holds
 * it. A row that was merged comes back with its difference from the merged row at the time of merging, as Haar's
 * wavelets keep means and differences. */
void passage_begin(passage *self);

/* Plans the number of rows of each sequence after this layer. */
void passage_plan(passage *self);

/* Whether the layer's queries are its rows themselves. */
static inline bool passage_all_query(const passage *self) {
    return !self->merges && !self->halted;
}

/* The query rows, made from x: x itself, the rows that have not left, or averages of neighbouring rows. */
tensor passage_queries(passage *self, tensor x);

/* Chooses the rows of y that stay, by scores; the others are restored. y are the rows that entered the layer as x. */
tensor passage_retire(passage *self, tensor x, tensor y, const float *scores);

/* Scores that do not depend on attention: by position or at random. */
void passage_score_places(const passage *self, float *scores);

/* Puts the computed query rows back among the rows that have left, which did not change; in place when not
 * recording. */
tensor passage_put_back(const passage *self, tensor x, tensor asked);

/* Asks the departure function after a layer, and removes the leaving rows from x, in place. */
void passage_depart(passage *self, bool last, tensor *x);

/* The up-sampling of a Funnel-Transformer's decoder. Every original row is the sum of its state in `early`, when all
 * rows were alive, and the state of the row that holds it after blocks that merged `merged` rows into one. Rows that
 * truncation left out have no second part. Afterwards all rows are alive. */
tensor passage_spread(passage *self, tensor x, tensor early, size_t merged);

/* Puts the remaining rows back at their original places. */
void passage_restore(passage *self, tensor x);

#endif
