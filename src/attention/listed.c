#include "attention/listed.h"

#include <string.h>

#include "tensor/tape.h"

typedef struct listing {
    const run *on;
    tensor rows, list;
    head_lists by;
    const float *weight; /* NULL: the list is made of the rows, else the rows are sums of the list */
    bool backward;
} listing;

/* A head's rows have one owner, who adds to them in order. */
static void some_heads(void *argument, size_t member, size_t first, size_t last) {
    const listing *l = argument;
    const gradient_kernels *g = l->on->kernels->gradient;
    const size_t size = l->by.head_size;
    (void)member;
    for (size_t head = first; head < last; head++)
        for (size_t i = 0; i < l->by.count; i++) {
            const size_t at = head * l->by.count + i, column = head * size, row = l->by.rows[at];
            if (!l->weight && !l->backward)
                memcpy(tensor_row(l->list, i) + column, tensor_row(l->rows, row) + column, size * sizeof(float));
            else if (!l->weight)
                g->add(tensor_grad(l->rows, row) + column, tensor_grad(l->list, i) + column, size);
            else if (!l->backward)
                g->add_scaled(tensor_row(l->rows, row) + column, tensor_row(l->list, i) + column, l->weight[at], size);
            else
                g->add_scaled(tensor_grad(l->list, i) + column, tensor_grad(l->rows, row) + column, l->weight[at],
                              size);
        }
}

static void backward(const run *on, void *saved) {
    listing l = *(const listing *)saved;
    l.on = on;
    l.backward = true;
    run_parallel(on, l.by.heads, 1, some_heads, &l);
}

static void list(const run *on, listing l) {
    if (run_failed(on)) return;
    run_parallel(on, l.by.heads, 1, some_heads, &l);
    listing *saved = on->tape ? tape_push(on, backward, sizeof *saved) : NULL;
    if (saved) *saved = l;
}

tensor listed_rows(const run *on, tensor from, head_lists by) {
    tensor made = run_tensor(on, by.count, by.heads * by.head_size);
    list(on, (listing){.on = on, .rows = from, .list = made, .by = by});
    return made;
}

void listed_sum(const run *on, tensor to, tensor from, head_lists by, const float *weight) {
    if (run_failed(on)) return;
    for (size_t row = 0; row < to.rows; row++) memset(tensor_row(to, row), 0, by.heads * by.head_size * sizeof(float));
    list(on, (listing){.on = on, .rows = to, .list = from, .by = by, .weight = weight});
}
