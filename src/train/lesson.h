/* What a pass is compared with. A lesson is a loss with a weight: what its loss looks at, in the model and in its
 * teacher, belongs to the kind of loss; a phase has a list of lessons.
 *
 * A new loss is one file under lesson/ and its line below; a recipe names it in its phase's list. */
#ifndef RUBATO_TRAIN_LESSON_H
#define RUBATO_TRAIN_LESSON_H

#include "train/objective.h"

typedef struct lesson lesson;
typedef struct passing passing;

typedef struct lesson_kind {
    const char *name;
    unsigned observes; /* what it needs to see of the pass's layers: bits of watch_kind */
    unsigned compares; /* and of the teacher's, without which it cannot be */
    /* Adds the gradient, times now->scale, of the loss's sum over items times self->weight; returns that sum, without
     * the scale. Where memory is short the run fails. */
    double (*loss)(const lesson *self, passing *now);
} lesson_kind;

extern const lesson_kind lesson_answers; /* the model's head: from labels, the first pass or a teacher */
extern const lesson_kind lesson_exits;   /* the exit after each layer, the same way */
extern const lesson_kind lesson_halting; /* adaptive computation time: the head on the mean of the states */
extern const lesson_kind lesson_states;  /* hidden states, from a teacher's of the same layer */

struct lesson {
    const lesson_kind *kind;
    double weight;       /* 0: it does not count, and nothing is computed for it */
    const void *setting; /* of the kind, which says what; NULL: its defaults */
};

/* Of lesson_answers. */
typedef struct answers_setting {
    bool from_full; /* passes that follow take the distribution followed as it is, whatever the options say */
} answers_setting;

/* Of lesson_exits. */
typedef struct exits_setting {
    double weights[POINT_LAYERS]; /* of the exit after each layer */
    bool from_model;              /* from what the model's head says instead of the labels */
} exits_setting;

/* Of lesson_halting. */
typedef struct halting_setting {
    double ponder; /* price of a layer */
} halting_setting;

#endif
