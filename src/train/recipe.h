/* Methods of training. Each is a file under recipe/ and a line of the table in recipe.c; what the trainer asks of a
 * method stands here as a property. All zero is the default of each. */
#ifndef RUBATO_TRAIN_RECIPE_H
#define RUBATO_TRAIN_RECIPE_H

#include "task/model.h"

typedef struct trainer trainer;

/* Exits that a recipe gives a model, and how they learn. */
typedef struct recipe_exits {
    exit_kind kind;    /* EXIT_NONE: the model has none */
    exit_setting rule; /* for which they are meant */
    bool optional;     /* only models that answer for sequences get them unasked */
    bool few;          /* after three layers of the lower half only, where none are asked for */
    bool rising;       /* later exits count more */
    bool apart;        /* the model is fine-tuned first, then its exits learn alone */
    bool from_model;   /* they learn from what the model's own head says instead of the labels */
    bool calibrated;   /* they get a temperature at the end */
} recipe_exits;

typedef struct recipe {
    const char *name;
    rubato_status (*run)(trainer *self, rubato_error *error);
    double warm_up, decay, epochs, rate; /* defaults */
    double length_drop, layer_drop;      /* of smaller passes, defaults */
    double merges;                       /* the part of all layers in which rows merge, default */
    bool refines;                        /* its smaller passes can be the points that search found */
    bool matches;                        /* hidden states can be matched with a teacher's */
    double match_states; /* the default of their weight; a teacher is then had, if need be what training starts from */
    bool needs_teacher;  /* fails where a teacher does not fit; else labels teach then */
    bool any_shape;      /* takes models whose rows merge by themselves, too */
    recipe_exits exits;
} recipe;

/* NULL for an unknown name. */
const recipe *recipe_find(const char *name);

/* The name of recipe number `index`, NULL after the last. */
const char *recipe_name(size_t index);

/* All names, separated by commas. */
void recipe_list(char *out, size_t bytes);

#endif
