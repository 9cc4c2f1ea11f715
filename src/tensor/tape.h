/* The tape: what a recorded forward pass leaves for its backward pass.
 *
 * Every operation (tensor/operations.h, attention, pooling ...) pushes a node with what its derivative needs;
 * tape_backward calls them from the last to the first. A node adds into the gradients of its inputs and parameters
 * (+=), so a tensor may be used any number of times. All memory is the run's arena: resetting it forgets the tape.
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
};

/* Memory for a node's `size` bytes, which `backward` will get; NULL on a failed run. */
void *tape_push(const run *self, tape_backward_function *backward, size_t size);

/* Key of the next dropout mask. */
uint64_t tape_mask(tape *self);

/* Rate as the threshold that the dropout kernel compares with. */
uint32_t dropout_threshold(float rate);

/* Runs all nodes, unless the run has failed. Gradients of the results have been set by the losses. Uses the arena for
 * scratch. */
void tape_backward(const run *on);

#endif
