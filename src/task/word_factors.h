/* Narrow word embeddings: a table of rows of `width` features as rows of fewer features and a projection back. */
#ifndef RUBATO_TASK_WORD_FACTORS_H
#define RUBATO_TASK_WORD_FACTORS_H

#include "rubato.h"

/* Finds the projection [width, rank] with orthonormal columns by which the rows [count, width] change least:
 * sum_i weights[i] |x_i - P P^T x_i|^2 is smallest (Eckart and Young 1936, of weighted rows). narrow [count, rank]
 * receives P^T x_i. weights [count], above 0. Fails: OUT_OF_MEMORY. */
rubato_status word_factors(const float *rows, size_t count, size_t width, const double *weights, size_t rank,
                           float *narrow, float *projection, rubato_error *error);

#endif
