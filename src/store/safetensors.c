/* Reading safetensors. */
#include "store/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text_buffer.h"

enum { MAX_HEADER_BYTES = 100000000 }; /* the reference's limit */

static rubato_status find_type(dtype *type, const json_t *value, const char *file, const char *tensor,
                               rubato_error *error) {
    const char *name = json_string_value(value);
    if (!name) return fail(error, RUBATO_BAD_MODEL, "%s: tensor \"%.120s\": no \"dtype\"", file, tensor);
    if (dtype_find(type, name)) return RUBATO_OK;
    return fail(error, RUBATO_UNSUPPORTED, "%s: tensor \"%.120s\": unknown dtype \"%.40s\"", file, tensor, name);
}

static bool whole_number(const json_t *value, size_t *out) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *out = (size_t)json_integer_value(value);
    return true;
}

/* One entry of the header. The position of its bytes is returned as offsets, and all offsets are checked together. */
static rubato_status parse_entry(stored_tensor *tensor, size_t *begin, size_t *end, const char *key,
                                 const json_t *value, const char *file, rubato_error *error) {
    const json_t *shape = json_object_get(value, "shape"), *offsets = json_object_get(value, "data_offsets");
    if (!json_is_object(value) || !json_is_array(shape) || !json_is_array(offsets) || json_array_size(offsets) != 2)
        return fail(error, RUBATO_BAD_MODEL, "%s: tensor \"%.120s\": needs dtype, shape and two data_offsets", file,
                    key);
    TRY(find_type(&tensor->type, json_object_get(value, "dtype"), file, key, error));
    tensor->rank = json_array_size(shape);
    if (tensor->rank > MAX_RANK)
        return fail(error, RUBATO_UNSUPPORTED, "%s: tensor \"%.120s\": %zu dimensions", file, key, tensor->rank);
    for (size_t i = 0; i < tensor->rank; i++)
        if (!whole_number(json_array_get(shape, i), &tensor->shape[i]))
            return fail(error, RUBATO_BAD_MODEL, "%s: tensor \"%.120s\": shape is not of whole numbers", file, key);
    TRY(tensor_measure(tensor, file, key, error));
    if (!whole_number(json_array_get(offsets, 0), begin) || !whole_number(json_array_get(offsets, 1), end) ||
        *end < *begin)
        return fail(error, RUBATO_BAD_MODEL, "%s: tensor \"%.120s\": bad data_offsets", file, key);
    if (*end - *begin != tensor->bytes)
        return fail(error, RUBATO_BAD_MODEL, "%s: tensor \"%.120s\": shape and dtype make %zu bytes, data_offsets %zu",
                    file, key, tensor->bytes, *end - *begin);
    tensor->name = text_copy(key, strlen(key));
    return tensor->name ? RUBATO_OK : fail_memory(error);
}

typedef struct place {
    size_t begin, end, tensor;
} place;

static int by_place(const void *a, const void *b) {
    const place *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static rubato_status check_places(tensor_file *file, place *places, const unsigned char *buffer, size_t buffer_bytes,
                                  const char *name, rubato_error *error) {
    if (file->count) qsort(places, file->count, sizeof *places, by_place);
    size_t expected = 0;
    for (size_t i = 0; i < file->count; i++) {
        stored_tensor *tensor = &file->tensors[places[i].tensor];
        if (places[i].end > buffer_bytes)
            return fail(error, RUBATO_BAD_MODEL,
                        "%s: tensor \"%.120s\" ends at byte %zu of the data, but the file has %zu; is it cut short?",
                        name, tensor->name, places[i].end, buffer_bytes);
        if (places[i].begin != expected)
            return fail(error, RUBATO_BAD_MODEL, "%s: tensor \"%.120s\" begins at byte %zu of the data, not at %zu",
                        name, tensor->name, places[i].begin, expected);
        expected = places[i].end;
        tensor->data = buffer + places[i].begin;
    }
    if (expected != buffer_bytes)
        return fail(error, RUBATO_BAD_MODEL, "%s: %zu bytes of data are declared, the file has %zu", name, expected,
                    buffer_bytes);
    return RUBATO_OK;
}

rubato_status safetensors_parse(tensor_file *file, const unsigned char *data, size_t size, const char *name,
                                rubato_error *error) {
    *file = (tensor_file){0};
    rubato_status status = RUBATO_OK;
    json_t *header = NULL;
    place *places = NULL;
    if (size < 8) return fail(error, RUBATO_BAD_MODEL, "%s: %zu bytes; a safetensors file has at least 8", name, size);
    uint64_t header_bytes = 0;
    for (int i = 7; i >= 0; i--) header_bytes = header_bytes << 8 | data[i];
    if (header_bytes > MAX_HEADER_BYTES || header_bytes > size - 8)
        return fail(error, RUBATO_BAD_MODEL, "%s: header of %llu bytes declared, %zu bytes in the file", name,
                    (unsigned long long)header_bytes, size);
    if (header_bytes == 0 || data[8] != '{')
        return fail(error, RUBATO_BAD_MODEL, "%s: header does not begin with '{'; not a safetensors file?", name);
    TRY_DONE(json_read_strict(&header, (const char *)data + 8, (size_t)header_bytes, name, error));
    if (!json_is_object(header)) {
        status = fail(error, RUBATO_BAD_MODEL, "%s: header is not an object", name);
        goto done;
    }
    size_t most = json_object_size(header);
    file->tensors = calloc(most + 1, sizeof *file->tensors);
    places = calloc(most + 1, sizeof *places);
    if (!file->tensors || !places) {
        status = fail_memory(error);
        goto done;
    }
    const char *key;
    json_t *value;
    json_object_foreach(header, key, value) {
        if (strcmp(key, "__metadata__") == 0) {
            file->notes = json_incref(value);
            continue;
        }
        place *here = &places[file->count];
        here->tensor = file->count;
        status = parse_entry(&file->tensors[file->count], &here->begin, &here->end, key, value, name, error);
        file->count++; /* counted before it is whole, so that a failure releases it */
        if (status != RUBATO_OK) goto done;
    }
    TRY_DONE(check_places(file, places, data + 8 + header_bytes, size - 8 - (size_t)header_bytes, name, error));
    TRY_DONE(tensor_file_sort(file, name, error));
done:
    json_decref(header);
    free(places);
    if (status == RUBATO_BAD_DATA && error) error->code = status = RUBATO_BAD_MODEL;
    if (status != RUBATO_OK) tensor_file_close(file);
    return status;
}
