/* The tape: what a recorded forward pass leaves for its backward pass.
 *
 * Every operation of tensor/run.h and of attention pushes a node with what its derivative needs; tape_backward calls
 * them from the last to the first. A node adds into the gradients of its inputs and parameters (+=), so a tensor may
 * be used any number of times. All memory is the run's arena: resetting it forgets the tape.
 *
 * Gradients do not depend on the number of threads: rows are shared out where rows are independent, columns where
 * something is summed over rows, and every sum has one order. */
#ifndef RUBATO_TENSOR_TAPE_H
#define RUBATO_TENSOR_TAPE_H

#include "tensor/run.h"

typedef void tape_backward_function(const run *on, void *saved);

typedef struct tape_node tape_node;

struct tape {
    tape_node *last;
    uint64_t key;   /* of this pass's dropout masks */
    uint64_t masks; /* handed out so far */
    float hidden_rate, attention_rate;
    bool failed; /* memory was short: the pass is worthless */
};

/* Memory for a node's `size` bytes, which `backward` will get; NULL when memory is short (and the tape has failed). */
void *tape_push(const run *self, tape_backward_function *backward, size_t size);

/* Key of the next dropout mask. */
uint64_t tape_mask(tape *self);

/* Rate as the threshold that the dropout kernel compares with. */
uint32_t dropout_threshold(float rate);

/* Runs all nodes. Gradients of the results have been set by the losses. Uses the arena for scratch. */
void tape_backward(const run *on);

/* What run.c does forward and tape.c with gradients: elements dropped out in place; out += x. */
void drop_elements(const run *self, tensor x, uint64_t key, float rate);
void add_elements(const run *self, tensor out, tensor x);

/* What run.c records. */
void tape_linear(const run *self, tensor out, tensor x, const linear *layer);
void tape_activation(const run *self, tensor out, tensor x, activation act);
void tape_add(const run *self, tensor out, tensor x);
void tape_layer_norm(const run *self, tensor out, tensor x, const norm *layer);
void tape_dropout(const run *self, tensor x, uint64_t key, float rate);
void tape_gather(const run *self, tensor out, const size_t *to, tensor x, const size_t *from, size_t count);

#endif
