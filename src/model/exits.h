/* Exits: classifiers after layers, and who leaves by them.
 *
 * A model has exits of one kind. They bind to the model's own layer numbers and are kept apart from the model's weights
 * (FOLDER/exits/model.safetensors), so that the folder stays a plain checkpoint for everybody else. */
#ifndef RUBATO_MODEL_EXITS_H
#define RUBATO_MODEL_EXITS_H

#include "model/head.h"

typedef enum exit_kind {
    EXIT_NONE,
    EXIT_LINEAR,   /* a linear layer on what is read: BranchyNet; SENTEE and TOKEE for tokens */
    EXIT_POOLER,   /* a pooler of its own before it: DeeBERT, ElasticBERT */
    EXIT_SHARED,   /* the model's pooler before it: PABEE */
    EXIT_WEIGHTED, /* the model's pooler over all layers so far, added up with learned weights: The Right Tool */
    EXIT_STUDENT,  /* narrow attention over all rows: FastBERT */
    EXIT_HALTING   /* a probability to halt; the model's head reads the mean of the states: ACT */
} exit_kind;

enum { STUDENT_WIDTH = 128, STUDENT_HEADS = 2 };

/* "linear", ...; EXIT_NONE for another name. */
exit_kind exit_kind_find(const char *name);
const char *exit_kind_name(exit_kind kind);

typedef struct exit_head {
    bool present;
    linear dense;              /* pooler; a student's first layer */
    linear qkv, attention_out; /* of students */
    linear last;               /* a student's layer before the last */
    linear out;                /* [classes] */
    norm weights;              /* gamma [depth] is what layers count for, of EXIT_WEIGHTED */
    float temperature;         /* logits are divided by it (Guo et al. 2017) */
} exit_head;

typedef struct exits {
    exit_kind kind; /* EXIT_NONE: there are none */
    size_t depth, classes;
    bool by_row;       /* an answer a row: tagging */
    bool reads_mean;   /* of a sequence's rows; else the row that the model's head reads. Not by_row, no EXIT_STUDENT */
    exit_setting rule; /* what they were trained for */
    exit_head heads[POINT_LAYERS];
} exits;

/* Loads the exits after the `count` given layers (from 0), or makes what `load` lacks when it has `fresh`. The last
 * layer has the model's own head and no exit, but for EXIT_HALTING, which needs all. */
rubato_status exits_load(exits *self, loader *load, exit_kind kind, bool reads_mean, const encoder *body,
                         const head *final, const size_t *layers, size_t count);

/* Operations of the exit after a layer for one sequence of `rows` rows that are alive; 0 where there is none. */
double exits_flops(const exits *self, const head *final, size_t number, size_t rows);

/* The states that an exit may look back on: of every layer so far. */
typedef struct exit_memory {
    size_t count;                 /* layers so far */
    size_t layer[POINT_LAYERS];   /* their numbers */
    tensor states[POINT_LAYERS];  /* [subjects, width] */
    tensor signals[POINT_LAYERS]; /* EXIT_HALTING: [subjects, 1], before the sigmoid */
} exit_memory;

/* A layer's output x and those of it who are asked. */
typedef struct exit_asked {
    tensor x;
    const batch *packed;
    const size_t *rows;  /* [count] that answers are read from */
    const size_t *which; /* [count] whose: sequences or, by_row, rows of the input; NULL: all */
    size_t count;
} exit_asked;

/* All that answer: sequences, by their first rows, or rows. */
exit_asked exits_ask_all(const exits *self, const run *on, tensor x, const batch *packed);

/* Notes the layer's output in the memory, which only some kinds need. */
void exits_remember(const exits *self, const head *final, const run *on, size_t number, const exit_asked *who,
                    exit_memory *memory);

/* Logits [count, classes] of the exit after a layer. Not for EXIT_HALTING. */
tensor exits_forward(const exits *self, const head *final, const run *on, size_t number, const exit_asked *who,
                     const exit_memory *memory);

/* ---- Adaptive computation time ---- */

/* out [subjects, width] = sum over the memory's layers of w_i state_i, w_i the probabilities to halt up to the layer
 * where they add up to 1 - epsilon, w of that layer what is missing from 1 (Graves 2016). *ponder receives the sum of
 * N + R over subjects; when recording, tau * scale times it joins the loss. */
tensor halting_mean(const run *on, const exit_memory *memory, float epsilon, float tau, double scale, double *ponder);

/* ---- Who leaves ---- */

/* One batch on its way through a model with exits. */
typedef struct exit_session {
    const exits *exits;
    const head *final;
    exit_setting rule;
    const batch *input;
    size_t subjects;    /* sequences; by_row, rows */
    size_t *left_after; /* [sequences] the layer, from 1, after which it left; 0: it ran to the end */
    float *logits;      /* [subjects][classes]: of the last exit asked, of what left the answer */
    float *before;      /* the same of the one below */
    float *memories;    /* [subjects] the rule's */
    uint8_t *asked;     /* [subjects] whether some exit was */
    uint8_t *answered;  /* [subjects] by an exit, for good */
    uint32_t *ran;      /* by_token: [depth][sequences] rows that a layer computed; else NULL */
    float *seen;        /* recording: [depth][subjects][classes] what every exit said; nobody leaves. Else NULL */
    exit_memory memory;
} exit_session;

/* Memory from the run's arena. Failures are the run's, here and below. */
void exit_session_begin(exit_session *self, const exits *from, const head *final, const exit_setting *rule,
                        const run *on, const batch *input);

/* From now on nobody leaves and every exit's answers are kept. Sequences, not tokens; not EXIT_HALTING. */
void exit_session_record(exit_session *self, const run *on);

/* As a departure_function (model/thinning.h). */
departure_function exit_session_ask;

/* The answers of all subjects [subjects, classes], in the order of the input: of what left its exit's, of the rest what
 * the final head says of `out`. */
void exit_session_results(const exit_session *self, const run *on, const encoded *out, float *result);

#endif
