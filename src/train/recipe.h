/* Recipes: methods of training. A recipe is one file under recipe/ and one line of the table in recipe.c. The
 * properties that the trainer asks about are fields; all zero is the default of each. */
#ifndef RUBATO_TRAIN_RECIPE_H
#define RUBATO_TRAIN_RECIPE_H

#include "task/model.h"

typedef struct trainer trainer;
typedef struct course course; /* train/recipe/course.h */

/* The exits that a recipe gives a model, and how they learn. */
typedef struct recipe_exits {
    exit_kind kind;    /* EXIT_NONE: the model gets none */
    exit_setting rule; /* the rule that the exits are meant for */
    bool optional;     /* made without being asked for only in models that answer for sequences */
    bool few;          /* without a list of layers: after three layers of the lower half */
    bool rising;       /* later exits have more weight */
    bool apart;        /* the model is fine-tuned first; then its exits learn alone */
    bool from_model;   /* exits learn from the answers of the model's own head instead of the labels */
    bool calibrated;   /* exits get a temperature at the end */
} recipe_exits;

typedef struct recipe {
    const char *name;
    rubato_status (*run)(trainer *self, rubato_error *error);
    double warm_up, decay, epochs, rate; /* defaults of the options */
    double length_drop, layer_drop;      /* the same, of smaller passes */
    double merges;                       /* default: the part of all layers in which rows merge */
    bool refines;                        /* smaller passes can be the points of the model's frontier */
    bool matches;                        /* hidden states can be matched with those of a teacher */
    double match_states; /* default of their weight; where it is not 0 and no teacher is named, the model that training
                            starts from is the teacher */
    void (*teach)(course *c); /* of recipes that run_course runs: the lessons of a stage */
    size_t stages; /* and how many there are; texts alone have no last one of several. 0: one for each layer, and one */
    double soft, hard;   /* default weights of the teacher's answers, and of the labels */
    double temperature;  /* default of the teacher's answers */
    bool texts;          /* learns from texts alone, too */
    bool weighs_states;  /* match_states is the weight of lessons of its own; layers and widths may differ */
    bool no_own_teacher; /* without a teacher's name there is none, whatever match_states says */
    bool compares;       /* always reads states or layers of a teacher, not its answers alone */
    bool needs_teacher;  /* a teacher that does not fit is an error; else training goes on without it */
    bool generates;      /* a second model, the generator, learns with the model */
    bool any_shape;      /* trains models whose own shape merges rows as well */
    const char *reads;   /* the options, by their names with blanks between, that not every recipe reads; NULL: none */
    recipe_exits exits;
} recipe;

/* The recipe of that name, or NULL. */
const recipe *recipe_find(const char *name);

/* The name of recipe number `index`, NULL after the last. */
const char *recipe_name(size_t index);

/* Whether a recipe reads an option of the list `reads`. */
bool recipe_reads(const recipe *self, const char *option);

/* All names, separated by commas. */
void recipe_list(char *out, size_t bytes);

#endif
