/* Files of named tensors. */
#include "store/tensor_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/json.h"

rubato_status tensor_measure(stored_tensor *tensor, const char *file, const char *name, rubato_error *error) {
    size_t bits;
    tensor->elements = 1;
    for (size_t i = 0; i < tensor->rank; i++)
        if (!checked_multiply(tensor->elements, tensor->shape[i], &tensor->elements))
            return fail(error, RUBATO_BAD_MODEL, "%s: tensor \"%.120s\": shape overflows", file, name);
    if (!checked_multiply(tensor->elements, dtype_bits(tensor->type), &bits) || bits % 8 != 0)
        return fail(error, RUBATO_BAD_MODEL, "%s: tensor \"%.120s\": shape overflows or fills no whole byte", file,
                    name);
    tensor->bytes = bits / 8;
    return RUBATO_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const stored_tensor *)a)->name, ((const stored_tensor *)b)->name);
}

rubato_status tensor_file_sort(tensor_file *file, const char *name, rubato_error *error) {
    if (file->count) qsort(file->tensors, file->count, sizeof *file->tensors, by_name);
    for (size_t i = 1; i < file->count; i++)
        if (strcmp(file->tensors[i].name, file->tensors[i - 1].name) == 0)
            return fail(error, RUBATO_BAD_MODEL, "%s: two tensors are named \"%.120s\"", name, file->tensors[i].name);
    return RUBATO_OK;
}

rubato_status tensor_file_open(tensor_file *file, const char *path, tensor_parser *parse, const file_reading *how,
                               rubato_error *error) {
    *file = (tensor_file){0};
    mapped_file mapping;
    TRY(file_open(&mapping, path, how, error));
    rubato_status status = parse(file, mapping.data, mapping.size, path, error);
    if (status != RUBATO_OK)
        file_unmap(&mapping);
    else
        file->file = mapping;
    return status;
}

void tensor_file_close(tensor_file *file) {
    if (!file) return;
    for (size_t i = 0; i < file->count; i++) free(file->tensors[i].name);
    free(file->tensors);
    json_decref(file->notes);
    file_unmap(&file->made);
    file_unmap(&file->file);
    *file = (tensor_file){0};
}

const stored_tensor *tensor_file_find(const tensor_file *file, const char *name) {
    stored_tensor key = {.name = (char *)(uintptr_t)name};
    if (file->count == 0) return NULL;
    return bsearch(&key, file->tensors, file->count, sizeof key, by_name);
}

const char *tensor_file_note(const tensor_file *file, const char *key) {
    return json_string_value(json_object_get(file->notes, key));
}
