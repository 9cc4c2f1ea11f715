/* One forward pass on its way: which rows are alive, how they retire, merge, leave, and come back. Failures are the
 * run's; on a failed run the functions do nothing. */
#ifndef RUBATO_MODEL_PASSAGE_H
#define RUBATO_MODEL_PASSAGE_H

#include "model/encoder.h"

/* The rows that are alive, and who they were. */
typedef struct alive {
    batch packed;
    size_t *origin; /* [rows] original row, of merged ones the first; NULL: all of them */
} alive;

typedef struct passage {
    const encoder *self;
    const run *on;
    const batch *input;
    const thinning *how;
    alive now, next; /* next.packed.start is set before a layer runs, next.origin by it */
    tensor restored; /* [input rows]; data is NULL when nothing is to be restored */
    size_t *holder;  /* [input rows] which of now's rows has it in it, NOBODY: restored already; NULL with that */
    tensor detail;   /* [input rows] how each differed from what it merged into; data is NULL while nothing has */
    /* Where other rows ask than are asked: merged ones in this layer, or those that have not left one by one. */
    bool merges;
    bool *halted;       /* [now rows]; NULL: none has */
    batch queries;      /* which of the others are whose */
    size_t *active;     /* [queries.rows] where they are among those of now; not of merged ones */
    size_t *asked_from; /* [queries.rows] original rows */
    size_t layer;
} passage;

#define NOBODY SIZE_MAX

/* Rows that retire or leave will have to come back: each as the last state of the row that it is in, and of a merged
 * row with what set it apart from the other when they merged, as Haar's wavelets keep means and differences. */
void passage_begin(passage *self);

/* Plans how many rows each sequence will have after this layer. */
void passage_plan(passage *self);

/* Whether the layer's rows ask for themselves. */
static inline bool passage_asks_itself(const passage *self) {
    return !self->merges && !self->halted;
}

/* The rows that ask, of x: itself, those that have not left, or merged ones. */
tensor passage_asking(passage *self, tensor x);

/* The rows of y, which entered the layer as x, that stay, by scores; the others are restored. */
tensor passage_retire(passage *self, tensor x, tensor y, const float *scores);

/* Scores that ask nobody: by place or at random. */
void passage_score_places(const passage *self, float *scores);

/* The rows that asked among those that have left, which are as they were; in place when nothing is recorded. */
tensor passage_put_back(const passage *self, tensor x, tensor asked);

/* Asks what leaves after a layer, and takes it out of x, in place. */
void passage_depart(passage *self, bool last, tensor *x);

/* The up-sampling of a Funnel-Transformer's decoder: every original row's state in `early`, when all were alive, and
 * that of the row which it has become after blocks that merged `merged` rows into one; of those that were left out
 * nothing. All rows are alive then. */
tensor passage_spread(passage *self, tensor x, tensor early, size_t merged);

/* Puts the rows that lived to the end where they came from. */
void passage_restore(passage *self, tensor x);

#endif
