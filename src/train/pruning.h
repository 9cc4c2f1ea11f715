/* Pruning in training: masks on the weights of the encoder's linear layers.
 *
 * A layer runs with W' = z W, where every group of weights has one factor z; embeddings and biases have none. The
 * optimiser learns W, and scores from which the factors are made. Groups are single weights, four weights along the
 * depth, blocks, or heads and neurons: a head's group is what it gives to the attention's output, a neuron's what it
 * gives to the output of the feed-forward part, so a factor of 0 is a head or neuron that is not there.
 *
 *   rule           factor                                    gradient of the score
 *   magnitude      1 for the largest mean |W|                none
 *   movement       1 for the highest scores                  sum of dL/dW' W  (Sanh et al. 2020)
 *   soft movement  1 for scores above a threshold            the same, and of a penalty for scores
 *   importance     1 for the largest mean |dL/dz|            none            (Michel et al. 2019)
 *   l0             a hard concrete variable of the score     its own, and of a penalty (Louizos et al. 2018)
 */
#ifndef RUBATO_TRAIN_PRUNING_H
#define RUBATO_TRAIN_PRUNING_H

#include "train/trainer.h"

typedef enum prune_unit { PRUNE_STRUCTURE, PRUNE_WEIGHTS, PRUNE_QUADS, PRUNE_BLOCKS } prune_unit;

typedef enum prune_rule { PRUNE_MAGNITUDE, PRUNE_MOVEMENT, PRUNE_SOFT_MOVEMENT, PRUNE_IMPORTANCE, PRUNE_L0 } prune_rule;

/* The parts of the steps before pruning begins and after it has ended, which recipes use. */
#define PRUNE_BEGIN 0.1
#define PRUNE_END 0.4

typedef struct pruning_options {
    prune_rule rule;
    prune_unit unit;
    double keep;       /* the part of the weights that stays at the end */
    double begin, end; /* parts of the steps before pruning begins, and after it has ended */
    double score_rate; /* the scores' learning rate */
    double penalty;    /* soft movement: of scores at the end */
} pruning_options;

typedef struct pruning pruning;

/* Gives the trainer's model masks. Adds parameters, so it comes before a checkpoint is read. Fails: UNSUPPORTED where
 * layers share weights, or learn in low precision. */
rubato_status pruning_create(pruning **self, trainer *by, const pruning_options *options, rubato_error *error);
void pruning_destroy(pruning *self);

/* Makes the factors of step number `step` of `steps`, and the weights that run. Before the first step; the hooks do it
 * after each step. settled: factors of the finished model, without chance. Fails: OUT_OF_MEMORY. */
rubato_status pruning_apply(pruning *self, size_t step, size_t steps, bool settled, rubato_error *error);

/* The hooks of a phase whose user is the pruning. */
step_hook pruning_after_gradients, pruning_after_step, pruning_before_judge, pruning_after_judge;

/* The part of the weights in groups whose factor is not 0. */
double pruning_kept(const pruning *self);

/* How many groups a rule keeps at a step: a cubic from 1 to `keep` (Zhu and Gupta 2017). */
double pruning_share(const pruning_options *options, size_t step, size_t steps);

/* The hard concrete distribution: a sample for a uniform u, its slope by the score, the value without chance, and the
 * probability that a sample is not 0. */
double concrete_sample(double score, double u, double *slope);
double concrete_settled(double score);
double concrete_open(double score);

#endif
