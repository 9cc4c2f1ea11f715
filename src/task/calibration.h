/* A calibration: what a layer's parts take, for contexts of one kind. */
#ifndef RUBATO_TASK_CALIBRATION_H
#define RUBATO_TASK_CALIBRATION_H

#include <stdatomic.h>

#include "task/context.h"

struct rubato_calibration {
    atomic_size_t uses; /* the last one frees it */
    char *path;         /* of its file, whose name says for which contexts it is */
    cost_model times;
};

/* One with nothing measured yet, for contexts like this one. */
rubato_status calibration_create(rubato_calibration **out, const rubato_context *context, rubato_error *error);

/* Keeps it in the user's cache. */
rubato_status calibration_write(const rubato_calibration *self, rubato_error *error);

#endif
