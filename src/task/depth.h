/* Choosing the layers to remove from a checkpoint before it is fine-tuned (Sajjad et al. 2020, "Poor Man's BERT"). */
#ifndef RUBATO_TASK_DEPTH_H
#define RUBATO_TASK_DEPTH_H

#include "rubato.h"

/* The layers that stay, from 0 on; layers [POINT_LAYERS]. `strategy`, with K of L layers dropped:
 *   top:K bottom:K             the last or the first layers
 *   odd:K even:K               every other layer from the top, beginning below the last layer or with it
 *   symmetric:K                the layers in the middle
 *   contribution:X             layers whose output is nearer to their input than a cosine of X, in the mean over the
 * tokens of the data's first texts Fails: BAD_ARGUMENT; as running and reading `data`. */
rubato_status depth_choose(const rubato_model *model, const char *strategy, const char *data, const char *columns,
                           size_t *layers, size_t *count, rubato_error *error);

#endif
