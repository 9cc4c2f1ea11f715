/* One forward pass and its operations.
 *
 * A run holds what the operations need: kernels, a team of threads, an arena for activations. The model's code is
 * written once against these operations. In inference they are fused and keep nothing; a mode that records them on a
 * tape for training has its place here, behind the same calls.
 *
 * Shapes are [rows, columns]; rows are the tokens of all sequences, packed without padding. No operation lets a row's
 * result depend on how many rows stand beside it or on the number of threads. */
#ifndef RUBATO_TENSOR_RUN_H
#define RUBATO_TENSOR_RUN_H

#include "base/arena.h"
#include "tensor/parameter.h"

typedef struct run {
    const kernel_table *kernels;
    team *crew; /* NULL: this thread alone */
    arena *memory;
} run;

/* Activations: a view of floats, row r at data + r * stride. */
typedef struct tensor {
    float *data;
    size_t rows, columns, stride;
} tensor;

/* Uninitialised activations from the run's arena; data is NULL when memory is short. The stride is kept off multiples
 * of 4096 bytes, where all rows of a product's tile would fall into the same few cache lines. */
tensor run_tensor(const run *self, size_t rows, size_t columns);

/* Columns [first, first + count) of a tensor. */
tensor tensor_columns(tensor x, size_t first, size_t count);

/* out = act(x W^T + b) + residual. residual may be NULL, and must not be out. */
void run_linear(const run *self, tensor out, tensor x, const linear *layer, activation act, const tensor *residual);

/* out = layer_norm(x); out may be x. */
void run_layer_norm(const run *self, tensor out, tensor x, const norm *layer);

/* Calls work(argument, first, last) for shares of `count` units on the run's threads. */
typedef void run_share(void *argument, size_t member, size_t first, size_t last);
void run_parallel(const run *self, size_t count, size_t grain, run_share *work, void *argument);

#endif
