/* The tape: the record of a forward pass for its backward pass.
 *
 * Every operation (tensor/operations.h, attention, pooling ...) pushes a node with the inputs of its derivative.
 * tape_backward calls the nodes from the last to the first. A node adds to the gradients of its inputs and parameters
 * (+=), so a tensor may be used any number of times. All memory is from the run's arena; resetting the arena forgets
 * the tape.
 *
 * Gradients do not depend on the number of threads: work is divided by rows where rows are independent, by columns
 * where something is summed over rows, and every sum has one order. */
#ifndef RUBATO_TENSOR_TAPE_H
#define RUBATO_TENSOR_TAPE_H

#include "tensor/run.h"

typedef void tape_backward_function(const run *on, void *saved);

typedef struct tape_node tape_node;

struct tape {
    tape_node *last;
    uint64_t key;   /* the key of this pass's dropout masks */
    uint64_t masks; /* the number of masks so far */
    float hidden_rate, attention_rate;
};

/* Allocates `size` bytes for a node, which `backward` receives; NULL on a failed run. */
void *tape_push(const run *self, tape_backward_function *backward, size_t size);

/* The key of the next dropout mask. */
uint64_t tape_mask(tape *self);

/* The rate as the threshold with which the dropout kernel compares. */
uint32_t dropout_threshold(float rate);

/* Runs all nodes, unless the run has failed. The losses must have set the gradients of the results. Uses the arena for
 * scratch. */
void tape_backward(const run *on);

#endif
