/* A phase: a stretch of training with one rule. A phase draws the passes of each step, lists their lessons, and may
 * have a function of its own at each point of a step:
 *
 *   for each portion of the samples, for each pass: before_pass, forward, lessons, backward
 *   gradients are gathered, after_gradients, gradients are cut to length, the optimiser's step, after_step */
#ifndef RUBATO_TRAIN_PHASE_H
#define RUBATO_TRAIN_PHASE_H

#include "train/lesson.h"
#include "train/parameters.h"

enum { MOST_PASSES = 16 };

/* One forward and backward of a step. */
typedef struct pass {
    point at;
    bool follows; /* learns from the answers of the step's first pass instead of the labels */
} pass;

/* A pass on its way through a portion, as the functions of a phase and lessons see it. */
struct passing {
    const trainer *by;
    const pass *what;
    size_t number;       /* number of the pass in its step */
    const portion *part; /* before_pass may change it */
    uint64_t key;        /* of the step: all its passes have the same */
    const run *on;       /* a run that records */
    const run *plain;    /* does not record */
    /* before_pass may change these. */
    const encoder *body;       /* the layers that run: the model's, or a copy with other layers or in another order */
    thinning thin;             /* of the pass's point */
    const uint8_t *left_after; /* [rows] the layer, from 1, after which a row left; labels do not count for it in later
                                  layers. NULL: no row leaves */
    /* Known after the forward pass. */
    const run *ran; /* the encoder's run: `on`, or `plain` where the body is frozen */
    encoded out;
    observed seen;           /* the tensors that the lessons observe */
    const observed *taught;  /* the teacher's tensors that the lessons compare with */
    const reference *follow; /* answers as targets; NULL: the labels are the targets */
    reference *keep;         /* receives this pass's answers for passes that follow; NULL: no pass does */
    double scale;            /* of gradients: 1 / (items of the step * its passes) */
    double row_scale;        /* the same for losses of every row: 1 / (rows of the step * its passes) */
    double loss;             /* of what before_pass itself has taught: a sum over items, as a lesson's */
};

/* The portion's labels for the rows that layer `number`, from 1, computed; -1 for rows that left before. NULL when
 * memory is short. */
int32_t *passing_labels(const passing *self, size_t number);

/* The functions at the points of a step. `user` is the phase's. */
typedef rubato_status pass_hook(void *user, passing *now, rubato_error *error);
typedef rubato_status step_hook(void *user, trainer *self, rubato_error *error);

/* All zero is the default of each field. */
typedef struct phase {
    const char *name;
    double epochs;
    double rate;             /* the highest learning rate; 0: the run's */
    rate_schedule *schedule; /* NULL: the run's */
    double blind;            /* the part of the steps in which dev sets are not judged; 1: they never are */
    step_hook *begin;        /* before the first step, or the one with which a resumed run goes on */
    /* Draws the passes of a step into out [MOST_PASSES]; returns their number. The first pass learns from the labels.
     */
    size_t (*passes)(const trainer *self, uint64_t *state, pass *out);
    const lesson *lessons; /* in the order of their gradients; none: lesson_answers with weight 1 */
    size_t lesson_count;
    group_set frozen;           /* the groups of parameters that do not learn */
    pass_hook *before_pass;     /* sets up a pass: thinning, layers, rows that leave */
    step_hook *after_gradients; /* adds to the gradients of a step: penalties */
    step_hook *after_step;      /* corrects values: limits */
    step_hook *before_judge;    /* around judging and writing the model */
    step_hook *after_judge;
    void *user;
    const point *judge; /* dev sets are judged at this point; NULL: full */
    const point *also;  /* and at these; the mean of all decides */
    size_t also_count;
} phase;

#endif
