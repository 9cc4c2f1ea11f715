/* One forward pass and its operations.
 *
 * A run holds what the operations need: kernels, a team of threads, an arena for activations. The model's code is
 * written once against these operations. In inference they are fused and keep nothing; with a tape (tensor/tape.h) they
 * apply dropout and record themselves, and every tensor has a gradient beside it.
 *
 * Shapes are [rows, columns]; rows are the tokens of all sequences, packed without padding. No operation lets a row's
 * result depend on how many rows stand beside it or on the number of threads. */
#ifndef RUBATO_TENSOR_RUN_H
#define RUBATO_TENSOR_RUN_H

#include "base/arena.h"
#include "tensor/parameter.h"

typedef struct tape tape;

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
    tape *tape;                      /* NULL in inference */
    profile *profile;                /* NULL: times are not taken */
    const linear_observer *observer; /* NULL: none */
    bool low;                        /* of layers in two precisions the lower one */
} run;

/* Around an operation: what begin returns goes to end. */
double run_begin(const run *self);
void run_end(const run *self, run_part part, double begin);

/* Activations: a view of floats, row r at data + r * stride. */
typedef struct tensor {
    float *data;
    size_t rows, columns, stride;
    float *grad; /* the same shape; NULL in inference */
} tensor;

/* Uninitialised activations from the run's arena, with a gradient of zeros when recording; data is NULL when memory is
 * short. The stride is kept off multiples
 * of 4096 bytes, where all rows of a product's tile would fall into the same few cache lines. */
tensor run_tensor(const run *self, size_t rows, size_t columns);

/* A tensor of the given rows for what follows x: x's own memory in inference, where x is not needed any more; fresh
 * when recording, where backward will read x. rows <= x.rows. */
tensor run_over(const run *self, tensor x, size_t rows);

/* Columns [first, first + count) of a tensor. */
tensor tensor_columns(tensor x, size_t first, size_t count);

static inline float *tensor_row(tensor x, size_t row) {
    return x.data + row * x.stride;
}

/* x as it is now, for later; not recorded. */
tensor run_copy(const run *self, tensor x);

/* x += y. */
void run_add(const run *self, tensor x, tensor y);

/* out = act(x W^T + b) + residual. residual may be NULL, and must not be out. When recording, what is added to a
 * residual is dropped out first, at the tape's rate for hidden states, as BERT has it. */
void run_linear(const run *self, tensor out, tensor x, const linear *layer, activation act, const tensor *residual);

/* out = layer_norm(x); out may be x in inference. */
void run_layer_norm(const run *self, tensor out, tensor x, const norm *layer);

/* Drops elements of x out, in place; nothing in inference. */
void run_dropout(const run *self, tensor x, float rate);

/* The given rows of x as a new tensor; data is NULL when memory is short. rows [count] lives as long as the tape. */
tensor run_gather(const run *self, tensor x, const size_t *rows, size_t count);

/* Rows of x to rows of out: out[to[i]] = x[from[i]]. from and to [count] live as long as the tape. */
void run_scatter(const run *self, tensor out, const size_t *to, tensor x, const size_t *from, size_t count);

/* Calls work(argument, first, last) for shares of `count` units on the run's threads. */
typedef void run_share(void *argument, size_t member, size_t first, size_t last);
void run_parallel(const run *self, size_t count, size_t grain, run_share *work, void *argument);

#endif
