/* A run of training: its models and data, its progress, and its loop. A step takes some samples and runs one or several
 * passes over them. A pass is a forward at an operating point, the losses of its lessons, and a backward. The
 * optimiser's step follows (train/step.h). */
#ifndef RUBATO_TRAIN_TRAINER_H
#define RUBATO_TRAIN_TRAINER_H

#include "task/context.h"
#include "task/memory_use.h"
#include "tensor/tape.h"
#include "train/optimizer.h"
#include "train/phase.h"

struct trainer {
    const rubato_train_options *options;
    const recipe *method;
    rubato_model *model;
    rubato_model *teacher;   /* NULL: training learns from the labels */
    bool other_tokens;       /* the teacher reads texts in tokens of its own */
    rubato_model *generator; /* proposes tokens, and learns with the model (recipe electra); else NULL */
    rubato_context *context;
    sample_kind kind;
    bool running, pairs; /* the data are running text; two texts in a sequence, and whether the second one follows */
    bool next_token;     /* with SAMPLE_MASKED: every token is predicted from those before it, and none is masked */
    parameters params;
    const gradient_exchange *exchange; /* NULL: this process works alone */
    samples data, dev;                 /* dev: empty without one */
    arena memory;                      /* of passes */
    arena drawn;                       /* of the step's samples */
    const phase *now;
    size_t phase_number, first_phase; /* first_phase: the one in which a resumed run goes on */
    size_t step;                      /* steps of this phase done so far */
    size_t resumed_step;
    struct {
        size_t points; /* 0: nothing was judged yet */
        double full, least, most;
    } judged;    /* the last time: the full model, and the range of the other points */
    double best; /* quality of the model in the output folder; NaN: there is none yet */
    size_t best_step;
    double loss; /* of the last steps */
    double kept; /* the part of the weights that pruning left; 0: nothing was pruned */
    double begun_ms;
    double tokens_done; /* tokens of all samples so far */
    FILE *metrics;
    memory_use use; /* of the model's memories by the dev set; without memories: where it has none */
    json_t *notes;  /* for rubato.json */
    step_rule rule;
    size_t batch;
    int lock;       /* of the output folder */
    json_t *record; /* of the run: train/run_record.h */
    bool made_folder;
};

/* An optional number of rubato_train_options: 0 means the default, a negative number means zero. */
static inline double option_or(double value, double otherwise) {
    return value > 0 ? value : value < 0 ? 0 : otherwise;
}

/* The number of epochs of a phase. */
static inline double trainer_epochs(const trainer *self) {
    return self->options->epochs > 0 ? self->options->epochs : self->method->epochs;
}

/* The weight of a teacher's hidden states that options and recipe ask for; the run may get no teacher all the same. */
static inline double wanted_matching(const trainer *self) {
    return option_or(self->options->match_states, self->method->match_states);
}

/* Loads models and data as the options say, so that a phase can run. The options outlive the trainer. The caller closes
 * it after a failure as well. */
rubato_status trainer_open(trainer *self, const rubato_train_options *options, rubato_error *error);
void trainer_close(trainer *self);

/* Runs a phase to its end, from its first step or from the step at which a resumed run stopped. Writes the output
 * folder whenever the dev set's metric is the best so far; without a dev set at the end. Fails: CANCELLED when the
 * progress function asks for it, and as its steps. */
rubato_status trainer_run(trainer *self, const phase *what, rubato_error *error);

/* Runs phases one after the other, from the one in which a resumed run stopped. Each begins with a new optimiser and
 * without a best quality. */
rubato_status trainer_run_phases(trainer *self, const phase *all, size_t count, rubato_error *error);

/* Runs the first of two phases, unless a resumed run is past it. The second phase begins with a new optimiser and
 * without a best quality. */
rubato_status trainer_run_first(trainer *self, const phase *what, rubato_error *error);

/* Writes the model as it is to the output folder. */
rubato_status trainer_save(const trainer *self, rubato_error *error);

/* The model in the output folder becomes the teacher. */
rubato_status trainer_teach_itself(trainer *self, rubato_error *error);

/* Steps of a phase. */
size_t trainer_phase_steps(const trainer *self, const phase *what);

/* Steps of one epoch. */
size_t trainer_epoch_steps(const trainer *self);

/* A seed for one use at one place of the run. It does not depend on earlier draws, so a resumed run draws the same. */
uint64_t trainer_seed(const trainer *self, uint64_t use, uint64_t number);

/* Writes and reads OUT/training.safetensors, from which a run goes on bit for bit. Without such a file a resumed run
 * begins at its first step. Fails: IO; BAD_DATA and BAD_ARGUMENT for a file of another model or recipe. */
rubato_status trainer_checkpoint(const trainer *self, rubato_error *error);
rubato_status trainer_resume(trainer *self, rubato_error *error);

/* A run of all threads in the trainer's arena; recording NULL: nothing is recorded. */
static inline run trainer_on(trainer *self, rubato_status *status, tape *recording) {
    run on = context_run(self->context, status);
    on.memory = &self->memory;
    on.tape = recording;
    return on;
}

#endif
