/* A run of training: what it was given, where it stands, and its loop. A step takes some samples and runs one or
 * several passes over them; each pass is a forward at an operating point, its lessons' losses and a backward; then one
 * step of the optimiser. */
#ifndef RUBATO_TRAIN_TRAINER_H
#define RUBATO_TRAIN_TRAINER_H

#include "train/optimizer.h"
#include "train/phase.h"

struct trainer {
    const rubato_train_options *options;
    const recipe *method;
    rubato_model *model;
    rubato_model *teacher; /* NULL: labels teach */
    rubato_context *context;
    sample_kind kind;
    parameters params;
    const gradient_exchange *exchange; /* NULL: no other process works on this run */
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
    step_rule rule;
    size_t batch;
};

/* An optional number of rubato_train_options: 0 is the default, a negative one zero. */
static inline double option_or(double value, double otherwise) {
    return value > 0 ? value : value < 0 ? 0 : otherwise;
}

/* Epochs of a phase. */
static inline double trainer_epochs(const trainer *self) {
    return self->options->epochs > 0 ? self->options->epochs : self->method->epochs;
}

/* Weight of a teacher's hidden states that the run asks for, whether it gets a teacher or not. */
static inline double wanted_matching(const trainer *self) {
    return option_or(self->options->match_states, self->method->match_states);
}

/* Loads models and data as the options say, up to where a phase can run; the options outlive it. Closed in any case. */
rubato_status trainer_open(trainer *self, const rubato_train_options *options, rubato_error *error);
void trainer_close(trainer *self);

/* Runs a phase from self->step to its end; writes the output folder whenever the dev set's metric is the best so far,
 * or at the end when there is no dev set. */
rubato_status trainer_run(trainer *self, const phase *what, rubato_error *error);

/* The first of two phases, unless a resumed run is past it. The second begins with a new optimiser, and what counts as
 * best begins anew. */
rubato_status trainer_run_first(trainer *self, const phase *what, rubato_error *error);

/* Writes the model as it is to the output folder. */
rubato_status trainer_save(const trainer *self, rubato_error *error);

/* The model in the output folder becomes the teacher. */
rubato_status trainer_teach_itself(trainer *self, rubato_error *error);

/* Steps of one epoch. */
size_t trainer_epoch_steps(const trainer *self);

/* A seed for one use at one place of the run: nothing depends on what was drawn before. */
uint64_t trainer_seed(const trainer *self, uint64_t use, uint64_t number);

/* Saves and restores everything that a run needs to go on bit for bit: OUT/training.safetensors. */
rubato_status trainer_checkpoint(const trainer *self, rubato_error *error);
rubato_status trainer_resume(trainer *self, rubato_error *error);

#endif
