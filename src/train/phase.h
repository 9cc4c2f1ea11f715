/* A stretch of training with one rule: the passes of its steps, what they learn from, and functions at the points of a
 * step. */
#ifndef RUBATO_TRAIN_PHASE_H
#define RUBATO_TRAIN_PHASE_H

#include "train/lesson.h"
#include "train/parameters.h"

enum { MOST_PASSES = 16 };

/* One forward and backward of a step. */
typedef struct pass {
    point at;
    bool follows; /* learns from the results of the step's first pass instead of the labels */
} pass;

/* A pass on its way through a portion: what a phase's functions and lessons see. */
struct passing {
    const trainer *by;
    const pass *what;
    size_t number; /* of the pass in its step */
    const portion *part;
    uint64_t key;     /* of the step: the same for all its passes */
    const run *on;    /* records */
    const run *plain; /* does not */
    /* What before_pass may change. */
    const encoder *body;       /* whose layers run: the model's, or a copy with others, or in another order */
    thinning how;              /* the pass's point, to begin with */
    const uint8_t *left_after; /* [rows] the layer, from 1, after which a row left: later ones do not learn from it;
                                  NULL: none did */
    /* After the forward pass. */
    const run *ran; /* `on`, or `plain` where the body is frozen */
    encoded out;
    observed seen;           /* what the lessons observe */
    const observed *taught;  /* the same of the teacher, where they compare */
    const reference *follow; /* answers to learn from; NULL: the labels teach */
    reference *keep;         /* receives this pass's answers for those that follow; NULL: none does */
    double scale;            /* one over the step's items and passes */
};

/* Labels of the rows that layer `number`, from 1, computed: those of the portion, where none has left. NULL when memory
 * is short. */
int32_t *passing_labels(const passing *self, size_t number);

/* The points of a step. */
typedef rubato_status pass_hook(void *user, passing *now, rubato_error *error);
typedef rubato_status step_hook(void *user, trainer *self, rubato_error *error);

typedef struct phase {
    const char *name;
    double epochs;
    /* Draws the passes of a step; returns how many. The first learns from the labels. */
    size_t (*passes)(const trainer *self, uint64_t *state, pass *out);
    const lesson *lessons; /* in order; none: the answers alone, with weight 1 */
    size_t lesson_count;
    group_set frozen;           /* the groups of parameters that do not learn */
    pass_hook *before_pass;     /* sets the pass up; NULL, as below: nothing happens */
    step_hook *after_gradients; /* gradients are summed, and not cut yet */
    step_hook *after_step;      /* values have moved */
    void *user;                 /* of these */
    const point *judge;         /* dev sets are judged at this point; NULL: full */
    const point *also;          /* and at these: what counts is the mean */
    size_t also_count;
} phase;

#endif
