/* The sequences that a model is pre-trained on, drawn from a corpus: for every pass over it new ones, which are
 * functions of a seed alone. An instance names sentences, so that a list of all instances is small and can be shuffled.
 *
 * Single texts are the consecutive sentences of a document that fit (Liu et al. 2019, "doc-sentences"). Pairs are those
 * of BERT (Devlin et al. 2018): the second text follows the first, or is a text of another document. In both, one
 * sequence of ten is cut short at a random length. */
#ifndef RUBATO_TRAIN_INSTANCES_H
#define RUBATO_TRAIN_INSTANCES_H

#include "base/arena.h"
#include "train/corpus.h"

typedef struct instance {
    uint32_t first, second;             /* the first sentence of each text */
    uint16_t first_count, second_count; /* sentences; 0: there is no second text */
    bool random;                        /* the second text does not follow the first */
} instance;

typedef struct instance_options {
    size_t longest; /* tokens of a sequence, special ones included */
    bool pairs;
} instance_options;

typedef struct instances {
    instance *items;
    size_t count, capacity;
} instances;

/* Replaces the list by that of a new pass. Fails: OUT_OF_MEMORY; UNSUPPORTED for more than 2^32 sentences. */
rubato_status instances_draw(instances *self, const corpus *from, const tokenizer *text, const instance_options *how,
                             uint64_t seed, rubato_error *error);
void instances_free(instances *self);

/* Lays an instance out as a window in the arena, by the tokenizer's template. Tokens beyond `longest` are dropped one
 * by one from the longer text, at its front or end by a draw from `key`. NULL when memory is short. */
const rubato_window *instance_window(const instance *self, const corpus *from, const tokenizer *text,
                                     const instance_options *how, uint64_t key, arena *memory);

#endif
