/* A file of named tensors, whatever its format: safetensors.h and torch_file.h read one each. The bytes of a tensor
 * stay in the open file, mapped or in memory. */
#ifndef RUBATO_STORE_TENSOR_FILE_H
#define RUBATO_STORE_TENSOR_FILE_H

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
    const unsigned char *data; /* row by row, without gaps; any alignment; NULL: it was released */
    size_t bytes;
} stored_tensor;

typedef struct tensor_file {
    mapped_file file;
    mapped_file made;       /* tensors that do not stand in the file as they are */
    stored_tensor *tensors; /* sorted by name */
    size_t count;
    struct json_t *notes; /* __metadata__ of a safetensors file */
} tensor_file;

/* Reads a format from bytes in memory, which must outlive the result; `name` is used in messages. On failure nothing is
 * held. Fails: BAD_MODEL, UNSUPPORTED, OUT_OF_MEMORY. */
typedef rubato_status tensor_parser(tensor_file *file, const unsigned char *data, size_t size, const char *name,
                                    rubato_error *error);

/* Opens a file (`how` NULL: mapped) and reads it. On failure nothing is held. Fails: as file_open and the parser. */
rubato_status tensor_file_open(tensor_file *file, const char *path, tensor_parser *parse, const file_reading *how,
                               rubato_error *error);
void tensor_file_close(tensor_file *file);

/* The tensor of that name, or NULL. */
const stored_tensor *tensor_file_find(const tensor_file *file, const char *name);

/* The value of that key of `notes`, or NULL. */
const char *tensor_file_note(const tensor_file *file, const char *key);

/* For parsers: the numbers of elements and bytes that follow from type and shape; the name of a tensor that has none
 * yet; the order by name, where no two are equal. */
rubato_status tensor_measure(stored_tensor *tensor, const char *file, const char *name, rubato_error *error);
rubato_status tensor_file_sort(tensor_file *file, const char *name, rubato_error *error);

#endif
