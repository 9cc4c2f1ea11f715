/* The weights of a model folder. */
#include "store/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/text_buffer.h"
#include "store/safetensors.h"
#include "store/torch_file.h"

enum { MAX_INDEX_BYTES = 64 * 1024 * 1024, MAX_SHARDS = 4096, PATH_BYTES = 4096 };

/* The files that may hold a folder's weights; the first that is there does. */
typedef struct weight_form {
    const char *single, *index; /* index NULL: there are no shards */
    tensor_parser *parse;
} weight_form;

enum { FORMS = 2 };

static const weight_form adapter_forms[FORMS] = {{"adapter_model.safetensors", NULL, safetensors_parse},
                                                 {"adapter_model.bin", NULL, torch_file_parse}};
static const weight_form model_forms[FORMS] = {{"model.safetensors", "model.safetensors.index.json", safetensors_parse},
                                               {"pytorch_model.bin", "pytorch_model.bin.index.json", torch_file_parse}};

static rubato_status join(char path[PATH_BYTES], const char *folder, const char *name, rubato_error *error) {
    if ((size_t)snprintf(path, PATH_BYTES, "%s/%s", folder, name) < PATH_BYTES) return RUBATO_OK;
    return fail(error, RUBATO_BAD_ARGUMENT, "%.200s...: path too long", folder);
}

static rubato_status open_shard(checkpoint *weights, const char *folder, const char *name, tensor_parser *parse,
                                rubato_error *error) {
    char path[PATH_BYTES];
    TRY(join(path, folder, name, error));
    TRY(tensor_file_open(&weights->shards[weights->shard_count], path, parse, &weights->how, error));
    weights->shard_count++;
    return RUBATO_OK;
}

static rubato_status open_index(checkpoint *weights, const char *folder, const char *path, tensor_parser *parse,
                                rubato_error *error) {
    json_t *index = NULL;
    const char **names = NULL;
    size_t count = 0;
    rubato_status status;
    TRY_DONE(json_read_file(&index, path, MAX_INDEX_BYTES, error));
    const json_t *map = json_object_get(index, "weight_map");
    if (!json_is_object(map)) {
        status = fail(error, RUBATO_BAD_MODEL, "%s: no \"weight_map\"", path);
        goto done;
    }
    names = calloc(MAX_SHARDS, sizeof *names);
    weights->shards = calloc(MAX_SHARDS, sizeof *weights->shards);
    if (!names || !weights->shards) {
        status = fail_memory(error);
        goto done;
    }
    const char *tensor;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, tensor, value) {
        const char *file = json_string_value(value);
        if (!file || !*file || strchr(file, '/') || strchr(file, '\\') || strcmp(file, "..") == 0) {
            status = fail(error, RUBATO_BAD_MODEL, "%s: tensor \"%.120s\": not a plain file name", path, tensor);
            goto done;
        }
        size_t shard = 0;
        while (shard < count && strcmp(names[shard], file) != 0) shard++;
        if (shard == count) {
            if (count == MAX_SHARDS) {
                status = fail(error, RUBATO_BAD_MODEL, "%s: more than %d shards", path, MAX_SHARDS);
                goto done;
            }
            TRY_DONE(open_shard(weights, folder, file, parse, error));
            names[count++] = file;
        }
        if (!tensor_file_find(&weights->shards[shard], tensor)) {
            status = fail(error, RUBATO_BAD_MODEL, "%s: tensor \"%.120s\" is not in %.120s", path, tensor, file);
            goto done;
        }
    }
done:
    free(names);
    json_decref(index);
    return status;
}

/* Opens a folder's weights of that form, where it has them. */
static rubato_status open_form(checkpoint *weights, const char *folder, const weight_form *form, bool *found,
                               rubato_error *error) {
    char single[PATH_BYTES], index[PATH_BYTES];
    TRY(join(single, folder, form->single, error));
    TRY(join(index, folder, form->index ? form->index : form->single, error));
    *found = path_exists(single) || path_exists(index);
    if (!*found) return RUBATO_OK;
    if (!path_exists(single)) return open_index(weights, folder, index, form->parse, error);
    weights->shards = calloc(1, sizeof *weights->shards);
    return weights->shards ? open_shard(weights, folder, form->single, form->parse, error) : fail_memory(error);
}

static rubato_status open_first(checkpoint *weights, const char *folder, const weight_form choices[FORMS],
                                file_reading how, rubato_error *error) {
    *weights = (checkpoint){.how = how};
    rubato_status status = RUBATO_OK;
    bool found = false;
    for (size_t i = 0; i < FORMS && status == RUBATO_OK && !found; i++)
        status = open_form(weights, folder, &choices[i], &found, error);
    if (status != RUBATO_OK) checkpoint_close(weights);
    if (status != RUBATO_OK || found) return status;
    return fail(error, RUBATO_NOT_FOUND, "%s: no weights: neither %s nor %s", folder, choices[0].single,
                choices[1].single);
}

rubato_status checkpoint_open(checkpoint *weights, const char *folder, file_reading how, rubato_error *error) {
    return open_first(weights, folder, model_forms, how, error);
}

bool checkpoint_is_there(const char *folder) {
    char path[PATH_BYTES];
    for (size_t i = 0; i < FORMS; i++) {
        if (join(path, folder, model_forms[i].single, NULL) == RUBATO_OK && path_exists(path)) return true;
        if (join(path, folder, model_forms[i].index, NULL) == RUBATO_OK && path_exists(path)) return true;
    }
    return false;
}

rubato_status checkpoint_open_adapter(checkpoint *weights, const char *folder, file_reading how, rubato_error *error) {
    return open_first(weights, folder, adapter_forms, how, error);
}

/* Removes the tensors of a file whose names another file has. */
static void drop_named(tensor_file *file, const tensor_file *named) {
    size_t kept = 0;
    for (size_t i = 0; i < file->count; i++) {
        if (tensor_file_find(named, file->tensors[i].name))
            free(file->tensors[i].name);
        else
            file->tensors[kept++] = file->tensors[i];
    }
    file->count = kept;
}

rubato_status checkpoint_overlay(checkpoint *weights, tensor_file *over, tensor_file *holder, rubato_error *error) {
    tensor_file *grown = realloc(weights->shards, (weights->shard_count + 2) * sizeof *grown);
    if (!grown) return fail_memory(error);
    weights->shards = grown;
    for (size_t i = 0; i < weights->shard_count; i++) drop_named(&grown[i], over);
    for (size_t i = 0; i < holder->count; i++) free(holder->tensors[i].name);
    holder->count = 0;
    grown[weights->shard_count++] = *holder;
    grown[weights->shard_count++] = *over;
    *holder = *over = (tensor_file){0};
    return RUBATO_OK;
}

size_t checkpoint_bytes(const checkpoint *weights) {
    size_t bytes = 0;
    for (size_t i = 0; i < weights->shard_count; i++) bytes += weights->shards[i].file.size;
    return bytes;
}

void checkpoint_close(checkpoint *weights) {
    if (!weights) return;
    for (size_t i = 0; i < weights->shard_count; i++) tensor_file_close(&weights->shards[i]);
    free(weights->shards);
    free(weights->used);
    *weights = (checkpoint){0};
}

void checkpoint_hash(checkpoint *weights) {
    weights->hash = 0;
    for (size_t i = 0; i < weights->shard_count; i++)
        weights->hash = hash_bytes(weights->hash, weights->shards[i].file.data, weights->shards[i].file.size);
}

static const stored_tensor *find_exact(const checkpoint *weights, const char *name) {
    for (size_t i = 0; i < weights->shard_count; i++) {
        const stored_tensor *tensor = tensor_file_find(&weights->shards[i], name);
        if (tensor) return tensor;
    }
    return NULL;
}

const stored_tensor *checkpoint_find(const checkpoint *weights, const char *name) {
    const stored_tensor *tensor = find_exact(weights, name);
    if (tensor) return tensor;
    /* Files converted from TensorFlow call LayerNorm's weight gamma and its bias beta. */
    static const char *const old_names[][2] = {{"LayerNorm.weight", "LayerNorm.gamma"},
                                               {"LayerNorm.bias", "LayerNorm.beta"}};
    char old[512];
    for (size_t i = 0; i < 2; i++)
        if (text_ends_with(name, old_names[i][0])) {
            int keep = (int)(strlen(name) - strlen(old_names[i][0]));
            snprintf(old, sizeof old, "%.*s%s", keep, name, old_names[i][1]);
            return find_exact(weights, old);
        }
    return NULL;
}

/* Whether another tensor that is still there has some of these bytes: tied weights do in a file of torch. */
static bool is_shared(const checkpoint *weights, const unsigned char *data, size_t bytes) {
    for (size_t shard = 0; shard < weights->shard_count; shard++)
        for (size_t i = 0; i < weights->shards[shard].count; i++) {
            const stored_tensor *other = &weights->shards[shard].tensors[i];
            if (other->data && other->data < data + bytes && data < other->data + other->bytes) return true;
        }
    return false;
}

void checkpoint_release(const checkpoint *weights, const char *name) {
    stored_tensor *tensor = (stored_tensor *)(uintptr_t)checkpoint_find(weights, name);
    if (!tensor || !tensor->data) return;
    const unsigned char *data = tensor->data;
    if (weights->how.in_memory) {
        tensor->data = NULL;
        if (is_shared(weights, data, tensor->bytes)) return; /* the last one gives them back */
    }
    file_release(data, tensor->bytes);
}

rubato_status checkpoint_mark(checkpoint *weights, const stored_tensor *tensor, rubato_error *error) {
    TRY(file_check(&weights->how, error));
    if (!tensor->data && tensor->bytes)
        return fail(error, RUBATO_UNSUPPORTED, "tensor \"%s\" is needed twice, and its memory was given back",
                    tensor->name);
    if (weights->used_count == weights->used_capacity) {
        size_t capacity = weights->used_capacity ? weights->used_capacity * 2 : 256;
        char **used = realloc(weights->used, capacity * sizeof *used);
        if (!used) return fail_memory(error);
        weights->used = used;
        weights->used_capacity = capacity;
    }
    weights->used[weights->used_count++] = tensor->name;
    return RUBATO_OK;
}

static int by_address(const void *a, const void *b) {
    uintptr_t x = (uintptr_t) * (char *const *)a, y = (uintptr_t) * (char *const *)b;
    return x < y ? -1 : x > y;
}

void checkpoint_unused(const checkpoint *weights, void (*visit)(void *user, const stored_tensor *tensor), void *user) {
    if (weights->used_count) qsort(weights->used, weights->used_count, sizeof *weights->used, by_address);
    for (size_t shard = 0; shard < weights->shard_count; shard++)
        for (size_t i = 0; i < weights->shards[shard].count; i++) {
            stored_tensor *tensor = &weights->shards[shard].tensors[i];
            if (!weights->used_count ||
                !bsearch(&tensor->name, weights->used, weights->used_count, sizeof *weights->used, by_address))
                visit(user, tensor);
        }
}
