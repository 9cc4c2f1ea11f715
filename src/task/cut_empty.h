/* Cutting heads and neurons away that give nothing. */
#ifndef RUBATO_TASK_CUT_EMPTY_H
#define RUBATO_TASK_CUT_EMPTY_H

#include "task/model.h"

/* How many were cut. */
typedef struct cut_counts {
    size_t heads, neurons;
} cut_counts;

/* Removes the heads and neurons of a model that was loaded to be changed whose columns in the layer behind them are all
 * zero, so that the model computes the same with less. At least one head and one neuron stay in every layer. The
 * model's layers are then fit for writing, not for running. Fails: UNSUPPORTED for layers that share weights, stand in
 * blocks, are in low precision, or whose heads cannot be moved; OUT_OF_MEMORY. */
rubato_status model_cut_empty(rubato_model *self, cut_counts *cut, rubato_error *error);

#endif
