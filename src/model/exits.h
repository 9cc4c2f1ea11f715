/* Exits: classifiers after layers, and the decision which subjects leave.
 *
 * A model has exits of one kind. They belong to the model's own layer numbers and are stored apart from the model's
 * weights (FOLDER/exits/model.safetensors), so that the folder stays a plain checkpoint for other programs. */
#ifndef RUBATO_MODEL_EXITS_H
#define RUBATO_MODEL_EXITS_H

#include "model/head.h"

typedef enum exit_kind {
    EXIT_NONE,
    EXIT_LINEAR,   /* a linear layer on the state: BranchyNet; SENTEE and TOKEE for tokens */
    EXIT_POOLER,   /* its own pooler, then a linear layer: DeeBERT, ElasticBERT */
    EXIT_SHARED,   /* the model's pooler, then a linear layer: PABEE */
    EXIT_WEIGHTED, /* the model's pooler over all layers so far, summed with learned weights: The Right Tool */
    EXIT_STUDENT,  /* small attention over all rows: FastBERT */
    EXIT_HALTING   /* a probability to halt; the model's head reads the mean of the states: ACT */
} exit_kind;

enum { STUDENT_WIDTH = 128, STUDENT_HEADS = 2 };

/* The kind of that name ("linear", ...); EXIT_NONE for another name. */
exit_kind exit_kind_find(const char *name);
const char *exit_kind_name(exit_kind kind);

typedef struct exit_head {
    bool present;
    linear dense;              /* pooler; a student's first layer */
    linear qkv, attention_out; /* of students */
    linear last;               /* a student's layer before the last */
    linear out;                /* [classes] */
    norm weights;              /* EXIT_WEIGHTED: gamma [depth] holds the weights of the layers */
    float temperature;         /* logits are divided by it (Guo et al. 2017) */
} exit_head;

typedef struct exits {
    exit_kind kind; /* EXIT_NONE: there are none */
    size_t depth, classes;
    bool by_row;       /* one answer for each row: tagging */
    bool reads_last;   /* the model's head reads a sequence's last row, not the first */
    bool reads_mean;   /* of a sequence's rows; else exits read the row that the model's head reads. Not with by_row or
                          EXIT_STUDENT */
    exit_setting rule; /* the setting for which they were trained */
    exit_head heads[POINT_LAYERS];
} exits;

/* Loads the exits after the `count` given layers (from 0), or makes missing ones when `load` has `fresh`. The last
 * layer has the model's own head and no exit, except with EXIT_HALTING, which needs all layers. */
rubato_status exits_load(exits *self, loader *load, exit_kind kind, bool reads_mean, const encoder *body,
                         const head *final, const size_t *layers, size_t count);

/* Operations of the exit after a layer for one sequence of `rows` rows that are alive; 0 where there is none. */
double exits_flops(const exits *self, const head *final, size_t number, size_t rows);

/* The states of all layers so far, which some exits read. */
typedef struct exit_memory {
    size_t count;                 /* layers so far */
    size_t layer[POINT_LAYERS];   /* their numbers */
    tensor states[POINT_LAYERS];  /* [subjects, width] */
    tensor signals[POINT_LAYERS]; /* EXIT_HALTING: [subjects, 1], before the sigmoid */
} exit_memory;

/* A layer's output x, and the subjects whose answers are wanted. */
typedef struct exit_subjects {
    tensor x;
    const batch *packed;
    const size_t *rows;  /* [count] the rows from which answers are read */
    const size_t *which; /* [count] the subjects: sequences or, by_row, rows of the input; NULL: all */
    size_t count;
} exit_subjects;

/* All subjects: sequences with their first rows, or rows. */
exit_subjects exits_all_subjects(const exits *self, const run *on, tensor x, const batch *packed);

/* Adds the layer's output to the memory, which only some kinds need. */
void exits_remember(const exits *self, const head *final, const run *on, size_t number, const exit_subjects *who,
                    exit_memory *memory);

/* Logits [count, classes] of the exit after a layer. Not for EXIT_HALTING. */
tensor exits_forward(const exits *self, const head *final, const run *on, size_t number, const exit_subjects *who,
                     const exit_memory *memory);

/* ---- Adaptive computation time ---- */

/* out [subjects, width] = sum over the memory's layers of w_i state_i. The w_i are the probabilities to halt, up to the
 * layer where they add up to 1 - epsilon; the w of that layer is the rest to 1 (Graves 2016). *ponder receives the sum
 * of N + R over subjects; when recording, tau * scale times it is added to the loss. */
tensor halting_mean(const run *on, const exit_memory *memory, float epsilon, float tau, double scale, double *ponder);

/* ---- Who leaves ---- */

/* One batch in a forward pass of a model with exits. */
typedef struct exit_session {
    const exits *exits;
    const head *final;
    exit_setting rule;
    const batch *input;
    size_t subjects;    /* sequences; by_row, rows */
    size_t *left_after; /* [sequences] the layer, from 1, after which it left; 0: it ran to the end */
    float *logits;      /* [subjects][classes]: of the last exit that ran; for subjects that left, their answer */
    float *before;      /* the same of the previous exit */
    float *memories;    /* [subjects] the memory of the rule */
    uint8_t *asked;     /* [subjects] whether some exit ran */
    uint8_t *answered;  /* [subjects] whether the answer of an exit is final */
    uint32_t *ran;      /* by_token: [depth][sequences] rows that a layer computed; else NULL */
    float *seen; /* recording: [depth][subjects][classes] the logits of every exit; no subject leaves. Else NULL */
    exit_memory memory;
} exit_session;

/* Takes memory from the run's arena. Here and below a failure sets the run's status. */
void exit_session_begin(exit_session *self, const exits *from, const head *final, const exit_setting *rule,
                        const run *on, const batch *input);

/* From now on no subject leaves, and the answers of every exit are kept. For sequences, not tokens; not for
 * EXIT_HALTING. */
void exit_session_record(exit_session *self, const run *on);

/* A departure_function (model/thinning.h). */
departure_function exit_session_decide;

/* The answers of all subjects [subjects, classes], in the order of the input: of the exit for subjects that left, of
 * the final head on `out` for the others. */
void exit_session_results(const exit_session *self, const run *on, const encoded *out, float *result);

#endif
