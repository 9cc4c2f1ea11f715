/* Training: what recipes share. A step takes some samples and runs one or several passes over them; each pass is
 * a forward at an operating point, a loss and a backward; then one step of the optimiser. */
#ifndef RUBATO_TRAIN_TRAINER_H
#define RUBATO_TRAIN_TRAINER_H

#include "train/loss.h"
#include "train/parameters.h"
#include "train/samples.h"

enum { MOST_PASSES = 16 };

/* One forward and backward of a step. */
typedef struct pass {
    point at;
    bool follows; /* learns from the results of the step's first pass instead of the labels */
} pass;

typedef struct trainer trainer;

/* How exits learn in a phase. */
typedef struct exit_lesson {
    double weights[POINT_LAYERS]; /* of the loss of the exit after each layer */
    double final;                 /* of the model's own head's */
    bool frozen;                  /* only exits learn */
    const rubato_model *sampler;  /* tokens halt in training as they would by this model's exits; NULL: they do not */
    bool from_final;              /* from what the model's head says instead of the labels */
    double ponder;                /* price of a layer, of adaptive computation time */
} exit_lesson;

/* A stretch of training with one rule. */
typedef struct phase {
    const char *name;
    double epochs;
    /* Draws the passes of a step; returns how many. The first learns from the labels. */
    size_t (*passes)(const trainer *self, uint64_t *state, pass *out);
    size_t soft; /* soft extraction: parameter that holds its factors; SIZE_MAX: none */
    double soft_rate, soft_penalty;
    bool from_full;      /* passes that follow take the distribution followed as it is, whatever the options say */
    double match_states; /* weight of the squared distance from the teacher's hidden states; 0: they do not count */
    const exit_lesson *exits; /* NULL: none learn */
    const point *judge;       /* dev sets are judged at this point; NULL: full */
    const point *also;        /* and at these: what counts is the mean */
    size_t also_count;
} phase;

/* A method of training. One file each under recipe/. */
typedef struct recipe {
    const char *name;
    rubato_status (*run)(trainer *self, rubato_error *error);
    double warm_up, decay; /* defaults */
    double epochs, rate;
    double length_drop, layer_drop; /* of smaller passes, defaults */
    double merges;                  /* the part of all layers in which rows merge, default */
    exit_kind exits;                /* that the model gets; EXIT_NONE: it has none */
    bool exits_optional;            /* only models that answer for sequences get them unasked */
    bool refines;                   /* its smaller passes can be the points that search found */
    exit_setting rule;              /* for which they are meant */
    bool matches;                   /* hidden states can be matched with a teacher's */
    double match_states; /* the default of their weight; a teacher is then had, if need be what training starts from */
} recipe;

extern const recipe recipe_finetune, recipe_length_adaptive, recipe_power_bert, recipe_branchynet, recipe_deebert,
    recipe_right_tool, recipe_fastbert, recipe_pabee, recipe_act, recipe_slimmable, recipe_dynabert, recipe_anytime,
    recipe_tokee;

const recipe *recipe_find(const char *name);
void recipe_list(char *out, size_t bytes);

/* The index-th recipe's name, NULL past the last one. */
const char *recipe_name(size_t index);

struct trainer {
    const rubato_train_options *options;
    const recipe *method;
    rubato_model *model;
    rubato_model *teacher; /* NULL: labels teach */
    rubato_context *context;
    sample_kind kind;
    parameters params;
    samples data;
    arena memory; /* of passes */
    const phase *now;
    size_t phase_number, first_phase; /* first_phase: where a resumed run goes on */
    size_t step;                      /* of this phase, done so far */
    size_t resumed_step;
    double best; /* quality of the model in the output folder; NaN: none yet */
    size_t best_step;
    double begun_ms;
    double tokens_done; /* tokens of the samples seen */
    FILE *metrics;
    json_t *notes; /* for rubato.json */
    double rate, warm_up, decay, clip;
    size_t batch;
    bool stopped;
};

/* An optional number of rubato_train_options: 0 is the default, a negative one zero. */
static inline double option_or(double value, double otherwise) {
    return value > 0 ? value : value < 0 ? 0 : otherwise;
}

/* Weight of a teacher's hidden states that the run asks for, whether it gets a teacher or not. */
static inline double wanted_matching(const trainer *self) {
    return option_or(self->options->match_states, self->method->match_states);
}

/* Runs a phase from self->step to its end; writes the output folder whenever the dev set's metric is the best so far,
 * or at the end when there is no dev set. */
rubato_status trainer_run(trainer *self, const phase *what, rubato_error *error);

/* Writes the model as it is to the output folder. */
rubato_status trainer_save(const trainer *self, rubato_error *error);

/* The model in the output folder becomes the teacher. */
rubato_status trainer_teach_itself(trainer *self, rubato_error *error);

/* Name of the metric by which models of this task are judged. */
const char *trainer_metric(const trainer *self);

/* Steps of one epoch. */
size_t trainer_epoch_steps(const trainer *self);

/* Saves and restores everything that a run needs to go on bit for bit: OUT/training.safetensors. */
rubato_status trainer_checkpoint(const trainer *self, rubato_error *error);
rubato_status trainer_resume(trainer *self, rubato_error *error);

/* ---- Parts of a step (objective.c) ---- */

/* Samples laid out as one packed batch, with what they should become. */
typedef struct portion {
    batch packed;
    const sample *const *samples; /* of each sequence; a pair's two sequences have the same */
    size_t items;                 /* that the loss counts */
    int32_t *labels;              /* classification [sequences]; tagging and masked LM [rows] */
    int32_t *starts, *ends;
    float *values;
} portion;

/* Lays samples out in the arena; masks tokens by `key` for masked LM. False when memory is short. */
bool portion_create(portion *self, const trainer *by, const sample *const *samples, size_t count, uint64_t key,
                    arena *memory);

/* What the first pass gave, for those that follow it. */
typedef struct reference {
    float *values;
    size_t count, capacity;
    float *states; /* the teacher's, [depth + 1][rows][hidden], where they are asked for */
    size_t states_capacity;
} reference;

/* The teacher's results for a portion, and with a phase that matches them its hidden states, kept for its passes. False
 * when memory is short. */
bool portion_teach(const trainer *by, const run *on, const portion *self, reference *keep);

/* What the model's own head says of a portion. */
rubato_status portion_answers(const trainer *by, const run *on, const encoded *out, const portion *self,
                              reference *keep, rubato_error *error);

/* What encoder_forward passes by: the embeddings, number 0, and the layers that ran, from 1. */
typedef struct passed_layers {
    const run *on; /* where states that the encoder does not keep are copied to; NULL: it keeps them */
    size_t count, number[POINT_LAYERS + 1];
    tensor rows[POINT_LAYERS + 1];
    batch packed[POINT_LAYERS + 1];
    const size_t *alive[POINT_LAYERS + 1]; /* the original rows of these; NULL: all */
    const uint8_t
        *left_after; /* [rows] the layer, from 1, after which a row left, whose lesson it is; NULL: none did */
} passed_layers;

/* For a watcher of states; user is passed_layers. */
void pass_layer(void *user, const run *on, const sight *what);

/* Losses of all exits over the layers passed, weighted as the lesson says, and gradients; `follow` [items, classes]:
 * what they learn from instead of the labels, or NULL. With EXIT_HALTING the loss of the model's head as well. */
double exits_loss(const trainer *by, const run *on, passed_layers *layers, const portion *self, const reference *follow,
                  const exit_lesson *lesson, double scale);

/* Mean squared distance of hidden states from the teacher's: what enters each layer from what enters the teacher's of
 * the same number, and the last from the last (Hou et al. 2020), each times `scale`; of the rows that are alive there.
 * After rows have merged, which no row of the teacher's stands for, nothing is compared. rows: of the input. */
double states_loss(const trainer *by, const run *on, const passed_layers *layers, const point *at, size_t rows,
                   const reference *teacher, double scale);

/* Loss of values [items, columns] of the kind of the task. labels: of its rows. */
double values_loss(const trainer *by, const run *on, tensor values, const portion *self, int32_t *labels,
                   const reference *follow, divergence how, double scale);

/* Copies values, row by row. */
void keep_values(reference *keep, tensor values, bool *failed);

/* Head and loss of one pass; sets gradients scaled by `scale`; returns the sum. With `follow` the loss is the
 * divergence from it; else *keep (may be NULL) receives the results. */
double portion_loss(const trainer *by, const run *on, const encoded *out, const portion *self, const reference *follow,
                    divergence how, reference *keep, double scale);

#endif
