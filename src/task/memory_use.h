/* How much of a model's memories its texts use. Used slots alone hide a collapse: nearly all slots can be among the 32
 * best of some token while a few are the best of all, so the best slots are counted by themselves (Kim and Jung
 * 2020). */
#ifndef RUBATO_TASK_MEMORY_USE_H
#define RUBATO_TASK_MEMORY_USE_H

#include <pthread.h>

#include "model/encoder.h"

/* What the slots of one memory received. Weights are counted in parts of 2^-32, so that their sums do not depend on the
 * order in which threads add them. */
typedef struct memory_counts {
    size_t layer, slots;
    uint64_t *mass;  /* [slots] of weights */
    uint32_t *first; /* [slots] how often a slot was a head's best */
} memory_counts;

typedef struct memory_use {
    memory_counts *memories;
    size_t count;
    size_t rows; /* tokens seen by the first memory */
    pthread_mutex_t lock;
    watcher watch; /* for runs; its user is this struct, which does not move meanwhile */
} memory_use;

/* Whether a layer of the model has a memory. */
bool encoder_remembers(const encoder *body);

/* Room for the memories of a model. Fails: OUT_OF_MEMORY. */
rubato_status memory_use_create(memory_use *self, const encoder *body, rubato_error *error);
void memory_use_destroy(memory_use *self);

/* Forgets what was counted. */
void memory_use_clear(memory_use *self);

/* The figures of memory `index`. Fails: OUT_OF_MEMORY. */
rubato_status memory_use_measure(const memory_use *self, size_t index, rubato_memory_use *out, rubato_error *error);

#endif
