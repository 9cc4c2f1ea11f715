/* Smoothing of activations for int8 (Xiao et al. 2023): input channels with large values move a part of their scale
 * into the weights. */
#ifndef RUBATO_TASK_SMOOTH_H
#define RUBATO_TASK_SMOOTH_H

#include "model/encoder.h"
#include "store/dataset.h"

typedef struct smoothing {
    const float **factors; /* [linear layers]; for a model_precision */
    float *values;         /* the memory of all factors */
} smoothing;

/* Runs the first texts of the data through the model in f32, takes the largest absolute value of each input channel of
 * each of the encoder's products, and makes the factors 1 / s with s_j = max|X_j|^strength / max|W_j|^(1 - strength),
 * within 1e-3 and 1e3. strength is in (0, 1); the paper has 0.5. Fails: as running; UNSUPPORTED for layers that share
 * their weights. */
rubato_status smoothing_measure(smoothing *self, const char *model, const dataset *data, double strength,
                                size_t max_length, rubato_error *error);

void smoothing_free(smoothing *self);

#endif
