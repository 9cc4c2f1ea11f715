/* How many texts become packed batches:
 *
 *   inputs -> tokenised by all threads -> windows sorted by length -> cut into batches of equal rows
 *          -> each thread runs batches of its own (many texts), or all threads one batch (few)
 *          -> a task's function takes the hidden states of its windows */
#ifndef RUBATO_TASK_JOB_H
#define RUBATO_TASK_JOB_H

#include "task/context.h"

/* One window of one input on its way through the encoder. */
typedef struct unit {
    const rubato_window *window;
    size_t input;    /* index of the input */
    size_t number;   /* of the window among the input's */
    const point *at; /* NULL: full */
} unit;

/* Takes the hidden states of a batch: units[i] is sequence i. left: who left early, NULL where nobody may. Called from
 * several threads at once, each unit once. */
typedef rubato_status take_batch(void *user, const run *on, const encoded *out, const exit_session *left,
                                 const unit *units, rubato_error *error);

typedef struct job {
    const rubato_input *inputs;
    size_t count;
    const rubato_options *options; /* as engine_options has them; NULL: defaults */
    rubato_text_options text;      /* what the task makes of options->text */
    head_kind head;                /* which decides what may retire; HEAD_COUNT: pooling */
    take_batch *take;              /* NULL: only the time counts */
    void *user;
    rubato_costs **costs; /* receives them; NULL: they are not wanted */
    /* Encodings of all inputs, theirs or made by the engine. When `keep` they outlive the run, the inputs outlive them,
     * and they are the caller's to release with engine_release. */
    bool keep;
    const rubato_encoding **encodings;
    /* Called with every input's encoding before anything runs, on several threads; NULL for none. */
    rubato_status (*prepare)(void *user, size_t input, const rubato_encoding *encoding, rubato_error *error);
} job;

/* Runs a job. Fails: BAD_TEXT and others with error->line the input's index + 1, CANCELLED, OUT_OF_MEMORY. */
rubato_status engine_run(rubato_context *context, job *work, rubato_error *error);
void engine_release(job *work);

/* The second half of it, for windows that are there already; sorts the units. Their points are set. */
rubato_status engine_run_units(rubato_context *context, job *work, unit *units, size_t count, rubato_error *error);

/* How a point thins out a batch for the head of that kind: which rows may go, and whether they come back. */
thinning engine_thinning(const rubato_model *model, head_kind kind, const point *at);

/* Readies a batch's exits where the point has some and the job's head is theirs: *left is `session` then and *how knows
 * it, else NULL. */
void engine_exits(const rubato_model *model, head_kind kind, const point *at, const run *on, const batch *packed,
                  exit_session *session, exit_session **left, thinning *how);

/* What a head says of a batch, contiguous in the run's arena: a row a sequence, or for heads of tokens a row a row.
 * NULL when memory is short. */
const float *engine_results(const head *from, const run *on, const encoded *out, const exit_session *left);

/* Logits [count, labels] of a classifier become what rubato_classify gives: probabilities; of regression the value. */
void engine_scores(const rubato_context *context, float *out, size_t count);

/* BAD_MODEL when a result holds NaN. */
rubato_status engine_check(const float *values, size_t count, rubato_error *error);

#endif
