/* Tensors of a forward pass that can be watched by name, for distillation and for visualisation.
 *
 * A watched tensor belongs to the pass. When recording it stays unchanged, and a loss may add to its gradient. In
 * inference the next operation may overwrite it, so a watcher copies the data that it needs. */
#ifndef RUBATO_TENSOR_WATCH_H
#define RUBATO_TENSOR_WATCH_H

#include "tensor/run.h"

/* One bit for each kind of tensor. */
typedef enum watch_kind {
    WATCH_STATE = 1 << 0,     /* [rows, hidden]: the output of the embeddings (layer 0) and of every layer (from 1) */
    WATCH_QUERIES = 1 << 1,   /* [queries, heads * head size], before any scale; layers from 1, also below */
    WATCH_KEYS = 1 << 2,      /* [rows, heads * head size] */
    WATCH_VALUES = 1 << 3,    /* [rows, heads * head size] */
    WATCH_SCORES = 1 << 4,    /* [queries, rows] of one head of one sequence, before softmax; from several threads */
    WATCH_MEMORY = 1 << 6,    /* the slots that a memory's heads selected, of every row (feeding/memory.h) */
    WATCH_ATTENTION = 1 << 5, /* [queries, hidden]: the attention's output, with its residual, before normalisation */
} watch_kind;

typedef struct batch batch;
typedef struct memory_choice memory_choice;

/* The data that a watcher receives. */
typedef struct sight {
    watch_kind what;
    size_t layer; /* 0: the embeddings; i + 1: layer i */
    tensor rows;
    const batch *packed;   /* the sequences of the rows */
    const size_t *alive;   /* the original rows, NULL: all are there */
    size_t heads;          /* of queries, keys and values */
    size_t sequence, head; /* of scores */
    const memory_choice *memory;
    size_t first; /* the query, within the sequence, of the first row of scores */
} sight;

struct watcher {
    unsigned wanted; /* bits of watch_kind */
    void (*see)(void *user, const run *on, const sight *what);
    void *user;
};

/* Whether a watcher wants this kind. */
static inline bool run_watches(const run *self, watch_kind what) {
    return self->watch && self->watch->wanted & (unsigned)what && !run_failed(self);
}

static inline void run_show(const run *self, const sight *what) {
    if (run_watches(self, what->what)) self->watch->see(self->watch->user, self, what);
}

#endif
