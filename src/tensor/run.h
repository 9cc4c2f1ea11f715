/* One forward pass.
 *
 * A run holds what the operations of a pass need: kernels, a team of threads, an arena for activations. A model's code
 * is written once against the operations (tensor/operations.h). In inference they are fused and keep nothing; with a
 * tape (tensor/tape.h) they apply dropout and record themselves, and every tensor has a gradient beside it.
 *
 * Shapes are [rows, columns]; rows are the tokens of all sequences, packed without padding. No operation lets a row's
 * result depend on how many rows stand beside it or on the number of threads.
 *
 * Failure. A run has one status. The first operation that fails sets it (run_fail); operations on a failed run do
 * nothing, and the tensors that they give have no data. A caller therefore looks at the status once, at the end of a
 * pass, and before it reads a tensor's data itself. */
#ifndef RUBATO_TENSOR_RUN_H
#define RUBATO_TENSOR_RUN_H

#include "base/arena.h"
#include "base/error.h"
#include "tensor/parameter.h"

typedef struct tape tape;
typedef struct run_state run_state; /* tensor/state.h */
typedef struct watcher watcher;     /* tensor/watch.h */

/* What a forward pass consists of, and the milliseconds that each took. */
typedef enum run_part {
    PART_EMBEDDINGS,
    PART_QKV,
    PART_HEADS, /* scores, softmax, mixing of values */
    PART_ATTENTION_OUT,
    PART_UP, /* with its activation */
    PART_DOWN,
    PART_NORMS,
    PART_RETIREMENT,
    PART_COUNT
} run_part;

typedef struct profile {
    double ms[PART_COUNT];
} profile;

/* Sees what every linear layer is given, for calibrating. */
typedef struct linear_observer {
    void (*see)(void *user, const linear *layer, const float *x, size_t stride, size_t rows);
    void *user;
} linear_observer;

typedef struct run {
    const kernel_table *kernels;
    team *crew; /* NULL: this thread alone */
    arena *memory;
    rubato_status *status;           /* of the pass: shared by the copies of a run; never NULL */
    tape *tape;                      /* NULL in inference */
    profile *profile;                /* NULL: times are not taken */
    const linear_observer *observer; /* NULL: none */
    const watcher *watch;            /* sees the named tensors of a pass; NULL: nothing does */
    run_state *state;                /* what layers keep from one segment of a text to the next; NULL: nothing */
    bool low;                        /* layers in two precisions run in the lower one */
} run;

/* The pass has failed. The first failure counts. Called by the run's own thread, not within run_parallel. */
void run_fail(const run *self, rubato_status status);

static inline bool run_failed(const run *self) {
    return *self->status != RUBATO_OK;
}

/* The status with its message, for the function that began the pass. */
rubato_status run_result(const run *self, rubato_error *error);

/* count * size bytes of the run's arena, uninitialised. NULL on a failed run, and when memory is short: the run has
 * failed then. */
void *run_take(const run *self, size_t count, size_t size);

/* Around an operation: what begin returns goes to end. */
double run_begin(const run *self);
void run_end(const run *self, run_part part, double begin);

/* Activations: a view of floats, row r at data + r * stride. */
typedef struct tensor {
    float *data;
    size_t rows, columns, stride;
    float *grad; /* the same shape; NULL in inference */
} tensor;

/* Uninitialised activations from the run's arena, with a gradient of zeros when recording; data is NULL on a failed
 * run. The stride is kept off multiples of 4096 bytes, where all rows of a product's tile would fall into the same few
 * cache lines. */
tensor run_tensor(const run *self, size_t rows, size_t columns);

/* A tensor of the given rows for what follows x: x's own memory in inference, where x is not needed any more; fresh
 * when recording, where backward will read x. rows <= x.rows. */
tensor run_over(const run *self, tensor x, size_t rows);

/* Columns [first, first + count) of a tensor. */
tensor tensor_columns(tensor x, size_t first, size_t count);

static inline float *tensor_row(tensor x, size_t row) {
    return x.data + row * x.stride;
}

static inline float *tensor_grad(tensor x, size_t row) {
    return x.grad + row * x.stride;
}

/* Calls work(argument, first, last) for shares of `count` units on the run's threads. */
typedef void run_share(void *argument, size_t member, size_t first, size_t last);
void run_parallel(const run *self, size_t count, size_t grain, run_share *work, void *argument);

#endif
