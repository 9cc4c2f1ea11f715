/* The tape. */
#include "tensor/tape.h"

struct tape_node {
    tape_node *before;
    tape_backward_function *backward;
    _Alignas(16) unsigned char saved[];
};

void *tape_push(const run *self, tape_backward_function *backward, size_t size) {
    tape *t = self->tape;
    tape_node *node = run_take(self, 1, sizeof *node + size);
    if (!node) return NULL;
    node->before = t->last;
    node->backward = backward;
    t->last = node;
    return node->saved;
}

uint64_t tape_mask(tape *self) {
    return self->key + ++self->masks * 0x9e3779b97f4a7c15u;
}

uint32_t dropout_threshold(float rate) {
    double threshold = (double)rate * 4294967296.0;
    return threshold >= 4294967295.0 ? UINT32_MAX : (uint32_t)threshold;
}

void tape_backward(const run *on) {
    for (tape_node *node = on->tape->last; node && !run_failed(on); node = node->before) {
        arena_mark mark = arena_save(on->memory);
        node->backward(on, node->saved);
        arena_rewind(on->memory, mark);
    }
}
