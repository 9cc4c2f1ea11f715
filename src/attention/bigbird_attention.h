/* Blocks of tokens that see their neighbours, the first and the last block, and some blocks besides (Zaheer et al.
 * 2020, Big Bird, the form without tokens of its own). */
#ifndef RUBATO_ATTENTION_BIGBIRD_ATTENTION_H
#define RUBATO_ATTENTION_BIGBIRD_ATTENTION_H

#include "attention/attending.h"

typedef struct bigbird_setting {
    size_t block, random; /* tokens of a block; blocks besides */
    bool drawn; /* these are drawn, by the numbers of layer, head and block; else they all are the first block,
                   which counts 1 + random times then, as transformers has it in evaluation */
} bigbird_setting;

enum { BIGBIRD_LARGEST = 1 << 24, BIGBIRD_MOST = 12 };

extern const attending attending_bigbird;

/* For families whose attention it is. */
void bigbird_choose(part_choice *out, bigbird_setting setting);

/* Texts of at most so many tokens have dense attention. */
size_t bigbird_dense(const bigbird_setting *self);

/* The blocks that a head of a layer draws for a block which is neither the first nor the last of `blocks`, into out
 * [random]: different ones, none of them next to the block or at an end. */
void bigbird_draw(const bigbird_setting *self, size_t layer, size_t head, size_t block, size_t blocks, size_t *out);

#endif
