/* One forward pass.
 *
 * A run holds the needs of the operations: kernels, a team of threads, an arena for activations. The code of a model is
 * written once with the operations (tensor/operations.h). In inference they are fused and keep nothing. With a tape
 * (tensor/tape.h) they apply dropout and record themselves, and every tensor has a gradient beside it.
 *
 * Shapes are [rows, columns]; rows are the tokens of all sequences, packed without padding. In every operation the
 * result of a row is independent of the number of other rows and of the number of threads.
 *
 * Failure. A run has one status. The first operation that fails sets it (run_fail). Operations on a failed run do
 * nothing, and their tensors have no data. A caller therefore checks the status once at the end of a pass, and before
 * it reads a tensor's data itself. */
#ifndef RUBATO_TENSOR_RUN_H
#define RUBATO_TENSOR_RUN_H

#include "base/arena.h"
#include "base/error.h"
#include "tensor/parameter.h"

typedef struct tape tape;
typedef struct run_state run_state; /* tensor/state.h */
typedef struct watcher watcher;     /* tensor/watch.h */

/* The parts of a forward pass, and the milliseconds of each. */
typedef enum run_part {
    PART_EMBEDDINGS,
    PART_QKV,
    PART_HEADS, /* scores, softmax, weighted sums of values */
    PART_ATTENTION_OUT,
    PART_UP, /* with its activation */
    PART_DOWN,
    PART_MEMORY, /* a memory beside the feed-forward part or instead of it */
    PART_NORMS,
    PART_RETIREMENT,
    PART_COUNT
} run_part;

typedef struct profile {
    double ms[PART_COUNT];
} profile;

/* Receives the input of every linear layer, for calibration. */
typedef struct linear_observer {
    void (*see)(void *user, const linear *layer, const float *x, size_t stride, size_t rows);
    void *user;
} linear_observer;

typedef struct run {
    const kernel_table *kernels;
    team *crew; /* NULL: this thread alone */
    arena *memory;
    rubato_status *status;           /* the status of the pass, shared by the copies of a run; never NULL */
    tape *tape;                      /* NULL in inference */
    profile *profile;                /* NULL: times are not taken */
    const linear_observer *observer; /* NULL: none */
    const watcher *watch;            /* sees named tensors of a pass; NULL: no watcher */
    run_state *state;                /* the state that layers keep from one segment of a text to the next; NULL: none */
    bool low;                        /* layers in two precisions run in low precision */
} run;

/* Makes the pass fail. The first failure counts. Only the run's own thread may call this, not a function within
 * run_parallel. */
void run_fail(const run *self, rubato_status status);

static inline bool run_failed(const run *self) {
    return *self->status != RUBATO_OK;
}

/* The status with its message, for the function that started the pass. */
rubato_status run_result(const run *self, rubato_error *error);

/* Allocates count * size bytes in the run's arena, uninitialised. NULL on a failed run, and when memory is short, which
 * makes the run fail. */
void *run_take(const run *self, size_t count, size_t size);

/* Around an operation: the result of run_begin is passed to run_end. */
double run_begin(const run *self);
void run_end(const run *self, run_part part, double begin);

/* Activations: a view of floats, row r at data + r * stride. */
typedef struct tensor {
    float *data;
    size_t rows, columns, stride;
    float *grad; /* the same shape; NULL in inference */
    uint32_t
        *half; /* the rows in bfloat16, `stride` words apart, instead of data: NULL but where run_tensor_half made it */
} tensor;

/* Uninitialised activations from the run's arena, with a gradient of zeros when recording; data is NULL on a failed
 * run. The stride is never a multiple of 4096 bytes, because all rows of a product's tile would then share a few cache
 * lines. */
tensor run_tensor(const run *self, size_t rows, size_t columns);

/* The rows of a tensor in bfloat16 for the result of a linear layer, whose reader rounds it to that anyway. Where
 * run_gives_half (operations.h) says so, run_linear writes it; another run_linear or attention reads it, and nothing
 * else does. The number of columns is a multiple of 32. */
tensor run_tensor_half(const run *self, size_t rows, size_t columns);

/* A tensor of the given rows for the result of an operation on x: x's own memory in inference, where x is not needed
 * any more; new memory when recording, because the backward pass reads x. rows <= x.rows. */
tensor run_over(const run *self, tensor x, size_t rows);

/* Columns [first, first + count) of a tensor. */
tensor tensor_columns(tensor x, size_t first, size_t count);

static inline uint32_t *tensor_half_row(tensor x, size_t row) {
    return x.half + row * x.stride;
}

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
