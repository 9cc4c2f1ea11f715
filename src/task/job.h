/* The way from many texts to packed batches:
 *
 *   inputs -> tokenised by all threads -> windows sorted by length -> cut into batches of equal rows
 *          -> each thread runs batches of its own (many texts), or all threads run one batch (few texts)
 *          -> a task's function takes the hidden states of its windows */
#ifndef RUBATO_TASK_JOB_H
#define RUBATO_TASK_JOB_H

#include "task/context.h"

/* One window of one input in the engine. */
typedef struct unit {
    const rubato_window *window;
    size_t input;    /* index of the input */
    size_t number;   /* of the window among the input's */
    const point *at; /* NULL: full */
} unit;

/* Takes the hidden states of a batch: units[i] is sequence i. left: the exits of subjects that left early, NULL where
 * none may leave. Called from several threads at once, each unit once. */
typedef rubato_status take_batch(void *user, const run *on, const encoded *out, const exit_session *left,
                                 const unit *units, rubato_error *error);

typedef struct job {
    const rubato_input *inputs;
    size_t count;
    const rubato_options *options; /* as engine_options has them; NULL: defaults */
    rubato_text_options text;      /* options->text with the changes of the task */
    head_kind head;                /* decides which rows may retire; HEAD_COUNT: pooling */
    take_batch *take;              /* NULL: the results are not needed, only the time */
    void *user;
    rubato_costs **costs; /* receives them; NULL: they are not wanted */
    /* Encodings of all inputs, theirs or made by the engine. When `keep` they outlive the run, the inputs outlive them,
     * and they are the caller's to release with engine_release. */
    bool keep;
    const rubato_encoding **encodings;
    /* Called with every input's encoding before the model runs, on several threads; NULL for none. */
    rubato_status (*prepare)(void *user, size_t input, const rubato_encoding *encoding, rubato_error *error);
} job;

/* Runs a job. Fails: BAD_TEXT and others with error->line the input's index + 1, CANCELLED, OUT_OF_MEMORY. */
rubato_status engine_run(rubato_context *context, job *work, rubato_error *error);
void engine_release(job *work);

/* The second half of engine_run, for windows that exist already. Sorts the units. The caller has set their points. */
rubato_status engine_run_units(rubato_context *context, job *work, unit *units, size_t count, rubato_error *error);

/* How a point removes rows from a batch, for the head of that kind: the rows that may leave, and whether they come
 * back. */
thinning engine_thinning(const rubato_model *model, head_kind kind, const point *at);

/* Prepares a batch's exits where the point has an exit setting and the exits belong to the job's head: *left is then
 * `session`, and *how uses it; else *left is NULL. */
void engine_exits(const rubato_model *model, head_kind kind, const point *at, const run *on, const batch *packed,
                  exit_session *session, exit_session **left, thinning *thin);

/* The scores of a head for a batch, contiguous in the run's arena: one row for each sequence, or for token heads one
 * row for each row. NULL when memory is short. */
const float *engine_results(const head *from, const run *on, const encoded *out, const exit_session *left);

/* Turns the logits [count, labels] of a classifier into the results of rubato_classify: probabilities, or the value of
 * a regression. */
void engine_scores(const rubato_context *context, float *out, size_t count);

/* BAD_MODEL when a result holds NaN. */
rubato_status engine_check(const float *values, size_t count, rubato_error *error);

#endif
