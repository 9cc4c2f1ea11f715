/* Writing safetensors files. */
#include "store/safetensors_write.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/json.h"

enum { CHUNK_VALUES = 1 << 16, ALIGNMENT = 64 };

/* Rounded to nearest, ties to even. */
static uint16_t to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static uint16_t to_f16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t size = bits & 0x7fffffff;
    if (size >= 0x47800000) return (uint16_t)(sign | 0x7c00); /* 65536 and more: infinity */
    if (size < 0x33000000) return sign;                       /* below half of the smallest denormal */
    if (size < 0x38800000) {                                  /* denormal */
        uint32_t mantissa = (size & 0x7fffff) | 0x800000, shift = 126 - (size >> 23);
        uint32_t half = mantissa >> shift, rest = mantissa & ((1u << shift) - 1), middle = 1u << (shift - 1);
        return (uint16_t)(sign | (half + (rest > middle || (rest == middle && half & 1))));
    }
    return (uint16_t)(sign | ((size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13)); /* may round up to infinity */
}

static size_t tensor_bytes(const tensor_source *from) {
    return (from->rows ? from->rows : 1) * from->columns * dtype_bits(from->type) / 8;
}

static bool write_tensor(FILE *stream, const tensor_source *from, float *values, uint16_t *halves) {
    size_t all = tensor_bytes(from);
    if (from->raw) return fwrite(from->raw, 1, all, stream) == all;
    size_t rows = from->rows ? from->rows : 1, step = size_max(1, CHUNK_VALUES / size_max(from->columns, 1));
    for (size_t first = 0; first < rows; first += step) {
        size_t take = size_min(step, rows - first), count = take * from->columns;
        from->read(from->user, first, take, values);
        if (from->type == DTYPE_F32) {
            if (fwrite(values, sizeof *values, count, stream) != count) return false;
            continue;
        }
        for (size_t i = 0; i < count; i++) halves[i] = from->type == DTYPE_F16 ? to_f16(values[i]) : to_bf16(values[i]);
        if (fwrite(halves, sizeof *halves, count, stream) != count) return false;
    }
    return true;
}

static char *make_header(const tensor_source *tensors, size_t count, const char *const *metadata) {
    json_t *root = json_object(), *notes = json_object();
    size_t at = 0;
    for (size_t i = 0; metadata && metadata[i]; i += 2) json_put(&notes, metadata[i], json_string(metadata[i + 1]));
    json_put(&notes, "format", json_string("pt"));
    json_put(&root, "__metadata__", notes);
    for (size_t i = 0; i < count; i++) {
        const tensor_source *t = &tensors[i];
        size_t bytes = tensor_bytes(t);
        json_t *shape = json_array();
        if (t->behind_one) json_add(&shape, json_integer(1));
        if (t->rows) json_add(&shape, json_integer((json_int_t)t->rows));
        if (t->parts || t->taps) json_add(&shape, json_integer(t->taps ? 1 : (json_int_t)t->parts));
        json_add(&shape, json_integer((json_int_t)(t->columns / (t->parts ? t->parts : 1))));
        if (t->taps) json_add(&shape, json_integer(1));
        json_put(&root, t->name,
                 json_pack("{s:s, s:o, s:[II]}", "dtype", dtype_name(t->type), "shape", shape, "data_offsets",
                           (json_int_t)at, (json_int_t)(at + bytes)));
        at += bytes;
    }
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

rubato_status safetensors_write(const char *path, const tensor_source *tensors, size_t count,
                                const char *const *metadata, rubato_error *error) {
    new_file file;
    size_t widest = CHUNK_VALUES;
    for (size_t i = 0; i < count; i++) widest = size_max(widest, tensors[i].columns);
    char *header = make_header(tensors, count, metadata);
    float *values = malloc(widest * sizeof *values);
    uint16_t *halves = malloc(widest * sizeof *halves);
    rubato_status status = header && values && halves ? RUBATO_OK : fail_memory(error);
    if (status == RUBATO_OK) status = new_file_open(&file, path, error);
    if (status == RUBATO_OK) {
        size_t length = strlen(header), padded = round_up(8 + length, ALIGNMENT) - 8;
        unsigned char size[8];
        for (int i = 0; i < 8; i++) size[i] = (unsigned char)(padded >> (8 * i));
        bool ok = fwrite(size, 1, 8, file.stream) == 8 && fwrite(header, 1, length, file.stream) == length &&
                  fprintf(file.stream, "%*s", (int)(padded - length), "") >= 0;
        for (size_t i = 0; i < count && ok; i++) ok = write_tensor(file.stream, &tensors[i], values, halves);
        if (ok) {
            status = new_file_commit(&file, error);
        } else {
            new_file_abandon(&file);
            status = fail(error, RUBATO_IO, "%s: cannot be written; is the disk full?", path);
        }
    }
    free(header);
    free(values);
    free(halves);
    return status;
}
