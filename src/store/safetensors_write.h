/* Writing safetensors files, whole or not at all. */
#ifndef RUBATO_STORE_SAFETENSORS_WRITE_H
#define RUBATO_STORE_SAFETENSORS_WRITE_H

#include <stdint.h>

#include "base/error.h"
#include "tensor/dtype.h"

/* A tensor to write: either its bytes, of any type; or F32, F16 or BF16 values, which `read` gives in order, some rows
 * at a time. */
typedef struct tensor_source {
    const char *name;
    dtype type;
    size_t rows, columns; /* rows 0: a vector of `columns` elements */
    size_t parts;         /* 0, or the shape is [rows, parts, columns / parts], of a vector [parts, columns / parts] */
    bool taps;            /* the shape is [rows, 1, columns, 1] */
    bool behind_one;      /* the shape is [1, rows, columns] */
    const void *raw;      /* the bytes; NULL: use read */
    /* Writes the values of rows [first, first + count) to out. */
    void (*read)(const void *user, size_t first, size_t count, float *out);
    const void *user;
} tensor_source;

/* Writes tensors in the given order, the first at a multiple of 64 bytes. metadata ("key", "value" alternating,
 * NULL-ended) may be NULL. */
rubato_status safetensors_write(const char *path, const tensor_source *tensors, size_t count,
                                const char *const *metadata, rubato_error *error);

#endif
