/* The operations of a forward pass. Each has its forward and its derivative side by side in one file: linear.c,
 * layer_norm.c, batch_norm.c, elementwise.c, move.c, lookup.c. On a failed run they do nothing. */
#ifndef RUBATO_TENSOR_OPERATIONS_H
#define RUBATO_TENSOR_OPERATIONS_H

#include "tensor/run.h"

/* A copy of x, for later use; not recorded. */
tensor run_copy(const run *self, tensor x);

/* out = act(x), of the same shape; when recording, out must not be x. */
void run_activation(const run *self, tensor out, tensor x, activation act);

/* x += y. */
void run_add(const run *self, tensor x, tensor y);

/* out = a * b, element by element; all of one shape, and out is none of the others when recording. */
void run_multiply(const run *self, tensor out, tensor a, tensor b);

/* out = act(x W^T + b) + residual. residual may be NULL, and must not be out. When recording, the product is dropped
 * out before the residual is added, at the tape's rate for hidden states, as in BERT. */
void run_linear(const run *self, tensor out, tensor x, const linear *layer, activation act, const tensor *residual);

/* Whether run_linear with this layer and activation can write a tensor of bfloat16 (run_tensor_half): where products
 * round their results themselves, and nobody else sees them. */
bool run_gives_half(const run *self, const linear *layer, activation act);

/* A tensor for the result of `writer`, which `reader` alone reads: in bfloat16 where both can. */
tensor run_between(const run *self, size_t rows, const linear *writer, activation act, const linear *reader);

/* layer_norm(x) as a new tensor. */
tensor run_normalised(const run *self, tensor x, const norm *layer);

/* out = layer_norm(x), or gamma x + beta of a plain norm; out may be x in inference. */
void run_layer_norm(const run *self, tensor out, tensor x, const norm *layer);

/* out = batch_norm(x): by the statistics of all rows of x when recording, else by the running ones. out may be x in
 * inference. The running statistics move with the optimiser's step (train/optimizer.h). */
void run_batch_norm(const run *self, tensor out, tensor x, const batch_norm *layer);

/* Drops elements of x out, in place; nothing in inference. */
void run_dropout(const run *self, tensor x, float rate);

/* The given rows of x as a new tensor. rows [count] must live as long as the tape. */
tensor run_gather(const run *self, tensor x, const size_t *rows, size_t count);

/* The given rows of a table as a new tensor. rows [count] must live as long as the tape. */
tensor run_lookup(const run *self, const table *by, const size_t *rows, size_t count);

/* Copies rows of x to rows of out: out[to[i]] = x[from[i]]. from and to [count] must live as long as the tape; NULL:
 * row i. */
void run_scatter(const run *self, tensor out, const size_t *to, tensor x, const size_t *from, size_t count);

#endif
