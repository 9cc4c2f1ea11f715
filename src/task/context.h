/* The threads and memory with which one caller runs a model. */
#ifndef RUBATO_TASK_CONTEXT_H
#define RUBATO_TASK_CONTEXT_H

#include "task/model.h"

enum { ENGINE_LEAST_ROWS = 48 }; /* with fewer rows, separate batches are slower than sharing one */

typedef struct exit_trail exit_trail; /* task/exit_trail.h */

typedef struct worker {
    arena memory;
    tokenizer_scratch text;
} worker;

struct rubato_context {
    const rubato_model *model;
    const kernel_table *kernels;
    const char *no_tiles; /* why tiles are not used; "" where they are */
    team *crew;
    size_t batch_tokens;
    worker *workers;                 /* one a thread */
    rubato_calibration *calibration; /* NULL: none was given */
    const cost_model *times;         /* the calibration's; NULL */
    const linear_observer *observer; /* of all runs; not thread-safe: for contexts of one thread */
    const watcher *watch;            /* of all runs, called from all threads; NULL */
    const point *force;              /* the point of every text, whatever the budget; NULL: by the budget */
    exit_trail *trail;               /* receives the output of every exit, and no subject leaves; NULL: not used */
};

/* The budget of the options, or context->force. */
rubato_status engine_budget(const rubato_context *context, const rubato_options *options, budget *out,
                            rubato_error *error);

/* The point of a sequence of that length; *out is NULL for full. Fails: BAD_ARGUMENT where the budget is strict and no
 * point is cheap enough. */
rubato_status engine_point(const point **out, const rubato_context *context, const budget *wanted, size_t length,
                           rubato_error *error);

/* A run of all threads in the first thread's arena. The caller owns the status, and sets what else the run needs. */
static inline run context_run(const rubato_context *self, rubato_status *status) {
    return (run){.kernels = self->kernels, .crew = self->crew, .memory = &self->workers[0].memory, .status = status};
}

#endif
