/* Reading safetensors files: a JSON header of names, types, shapes and positions, then the bytes. Everything in the
 * header is checked as in the reference: offsets have no hole, overlap or rest, and sizes follow from shape and type
 * without overflow. Format: github.com/huggingface/safetensors. */
#ifndef RUBATO_STORE_SAFETENSORS_H
#define RUBATO_STORE_SAFETENSORS_H

#include <stdint.h>

#include "base/error.h"
#include "base/file.h"
#include "tensor/dtype.h"

enum { MAX_RANK = 8 };

typedef struct stored_tensor {
    char *name;
    dtype type;
    size_t rank, shape[MAX_RANK];
    size_t elements;
    const unsigned char *data; /* any alignment; NULL: it was released */
    size_t bytes;
} stored_tensor;

typedef struct safetensors {
    mapped_file file;
    stored_tensor *tensors; /* sorted by name */
    size_t count;
    struct json_t *notes; /* __metadata__ */
} safetensors;

/* Opens and checks a file. On failure nothing is held. `how` NULL: the bytes stay in the file, which is mapped.
 * Fails: NOT_FOUND, IO, BAD_MODEL, OUT_OF_MEMORY, CANCELLED. */
rubato_status safetensors_open_with(safetensors *file, const char *path, const file_reading *how, rubato_error *error);
rubato_status safetensors_open(safetensors *file, const char *path, rubato_error *error);
void safetensors_close(safetensors *file);

/* The same for bytes in memory, which must outlive the result; `name` is used in messages. For tests. */
rubato_status safetensors_parse(safetensors *file, const unsigned char *data, size_t size, const char *name,
                                rubato_error *error);

/* The value of that key of __metadata__, or NULL. */
const char *safetensors_note(const safetensors *file, const char *key);

/* The tensor of that name, or NULL. */
const stored_tensor *safetensors_find(const safetensors *file, const char *name);

#endif
