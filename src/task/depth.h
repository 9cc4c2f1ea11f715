/* Which layers to take out of a checkpoint before it is fine-tuned (Sajjad et al. 2020, "Poor Man's BERT"). */
#ifndef RUBATO_TASK_DEPTH_H
#define RUBATO_TASK_DEPTH_H

#include "rubato.h"

/* The layers that stay, from 0 on; layers [POINT_LAYERS]. `strategy`, K layers dropped of L:
 *   top:K bottom:K             the last or the first
 *   odd:K even:K               every other one from the top, from the one below it or from the last itself
 *   symmetric:K                those in the middle
 *   contribution:X             whose output is nearer to its input than a cosine of X, in the mean over the tokens of
 * the data's first texts Fails: BAD_ARGUMENT; as running and reading `data`. */
rubato_status depth_choose(const rubato_model *model, const char *strategy, const char *data, const char *columns,
                           size_t *layers, size_t *count, rubato_error *error);

#endif
