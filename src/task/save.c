/* Writing a model that was loaded for learning. */
#include "task/save.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/text_buffer.h"
#include "store/safetensors_write.h"
#include "task/folder.h"
#include "task/load_exits.h"
#include "task/output_folder.h"

enum { MAX_CONFIG_BYTES = 16 << 20, MAX_COPIED_BYTES = 256 << 20, PATH_BYTES = 4096 + 320 };

/* ---- Files that are copied ---- */

static rubato_status copy_file(const char *from, const char *to, rubato_error *error) {
    char *data;
    size_t size;
    new_file file;
    TRY(file_read(&data, &size, from, MAX_COPIED_BYTES, error));
    rubato_status status = new_file_open(&file, to, error);
    if (status == RUBATO_OK) {
        if (size && fwrite(data, 1, size, file.stream) != size) {
            new_file_abandon(&file);
            status = fail(error, RUBATO_IO, "%s: cannot be written; is the disk full?", to);
        } else {
            status = new_file_commit(&file, error);
        }
    }
    free(data);
    return status;
}

static rubato_status copy_named(const char *from, const char *to, const char *name, rubato_error *error) {
    char old[PATH_BYTES], new[PATH_BYTES];
    snprintf(old, sizeof old, "%s/%s", from, name);
    snprintf(new, sizeof new, "%s/%s", to, name);
    return file_exists(old) ? copy_file(old, new, error) : RUBATO_OK;
}

static rubato_status copy_tokenizer(const rubato_model *self, const char *folder, rubato_error *error) {
    static const char *const names[] = {"tokenizer.json",
                                        "tokenizer_config.json",
                                        "vocab.txt",
                                        "vocab.json",
                                        "merges.txt",
                                        "special_tokens_map.json",
                                        "spiece.model",
                                        "added_tokens.json",
                                        "sentencepiece.bpe.model"};
    const char *from = model_tokenizer_folder(self->folder, self->base);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) TRY(copy_named(from, folder, names[i], error));
    return RUBATO_OK;
}

static rubato_status fail_listing(const char *folder, rubato_error *error) {
    return errno == ENOMEM ? fail_memory(error) : fail(error, RUBATO_IO, "%s: cannot be listed", folder);
}

/* sentence_bert_config.json and the like, which stand beside the encoder. */
static rubato_status copy_sentence_settings(const rubato_model *self, const char *folder, rubato_error *error) {
    DIR *listing = opendir(self->folder);
    rubato_status status = listing ? RUBATO_OK : fail_listing(self->folder, error);
    for (struct dirent *entry; status == RUBATO_OK && (entry = readdir(listing));)
        if (strncmp(entry->d_name, "sentence_", 9) == 0 && text_ends_with(entry->d_name, "_config.json"))
            status = copy_named(self->folder, folder, entry->d_name, error);
    if (listing) closedir(listing);
    return status;
}

/* Copies one module after the encoder. A module without settings may have no folder. */
static rubato_status copy_module(const rubato_model *self, const char *path, const char *folder, rubato_error *error) {
    static const char *const names[] = {"config.json", "model.safetensors", "pytorch_model.bin"};
    char from[PATH_BYTES], to[PATH_BYTES];
    snprintf(from, sizeof from, "%s/%s", self->path, path);
    snprintf(to, sizeof to, "%s/%s", folder, path);
    if (!*path || !folder_exists(from)) return RUBATO_OK;
    TRY(folder_create(to, error));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) TRY(copy_named(from, to, names[i], error));
    return RUBATO_OK;
}

/* Copies what belongs to a sentence-transformers folder. The encoder is written into `folder` itself, even where it was
 * read from a folder below; modules.json says so. */
static rubato_status copy_sentence_files(const rubato_model *self, const char *folder, rubato_error *error) {
    json_t *modules;
    if (!self->sentence) return RUBATO_OK;
    TRY(copy_named(self->path, folder, "config_sentence_transformers.json", error));
    TRY(copy_sentence_settings(self, folder, error));
    TRY(model_read_optional(&modules, self->path, "modules.json", error));
    rubato_status status = RUBATO_OK;
    for (size_t i = 0; i < json_array_size(modules) && status == RUBATO_OK; i++) {
        json_t *item = json_array_get(modules, i);
        const char *type = json_string_value(json_object_get(item, "type"));
        const char *path = json_string_value(json_object_get(item, "path"));
        if (type && text_ends_with(type, ".Transformer"))
            status = json_set(item, "path", json_string(""), error);
        else if (path)
            status = copy_module(self, path, folder, error);
    }
    if (status == RUBATO_OK) status = model_write_json(modules, folder, "modules.json", error);
    json_decref(modules);
    return status;
}

/* ---- config.json ---- */

rubato_status model_store_type(const char *name, storage *types, rubato_error *error) {
    *types = (storage){DTYPE_F32, DTYPE_F32};
    if (!name || strcmp(name, "f32") == 0) return RUBATO_OK;
    types->rest = types->tables = strcmp(name, "f16") == 0 ? DTYPE_F16 : DTYPE_BF16;
    if (types->rest == DTYPE_F16 || strcmp(name, "bf16") == 0) return RUBATO_OK;
    return fail(error, RUBATO_BAD_ARGUMENT, "store \"%.40s\": use f32, f16 or bf16", name);
}

static const char *head_name(const rubato_model *self) {
    switch (self->info.task) {
    case RUBATO_TASK_CLASSIFICATION:
    case RUBATO_TASK_REGRESSION: return "ForSequenceClassification";
    case RUBATO_TASK_TAGGING: return "ForTokenClassification";
    case RUBATO_TASK_QA: return self->kind->qa_class ? self->kind->qa_class : "ForQuestionAnswering";
    case RUBATO_TASK_MLM: return self->kind->mlm_class ? self->kind->mlm_class : "ForMaskedLM";
    case RUBATO_TASK_LM: return self->kind->causal_class;
    case RUBATO_TASK_NSP: return "ForNextSentencePrediction";
    case RUBATO_TASK_EMBEDDING: break;
    }
    return "Model";
}

static const char *class_name(const rubato_model *self, const char *model_type) {
    const family *kind = self->kind;
    if (model_type && strncmp(model_type, FOREIGN_PREFIX, strlen(FOREIGN_PREFIX)) == 0)
        model_type += strlen(FOREIGN_PREFIX);
    for (size_t i = 0; i < 4 && kind->model_types[i]; i++)
        if (model_type && strcmp(kind->model_types[i], model_type) == 0) return kind->class_names[i];
    return kind->class_names[0];
}

static rubato_status set_labels(const rubato_model *self, json_t *config, rubato_error *error) {
    json_t *names = json_object(), *numbers = json_object();
    for (size_t i = 0; i < self->info.label_count; i++) {
        char number[24];
        snprintf(number, sizeof number, "%zu", i);
        json_put(&names, number, json_string(self->labels[i]));
        json_put(&numbers, self->labels[i], json_integer((json_int_t)i));
    }
    rubato_status status = json_set(config, "id2label", names, error);
    if (status == RUBATO_OK) return json_set(config, "label2id", numbers, error);
    json_decref(numbers);
    return status;
}

/* Whether a weight is in low precision alone; it is then written in its packed form. */
static bool is_packed(const binding *from) {
    return from->kind == BOUND_WEIGHT && !from->linear->packed;
}

static bool any_packed(const bindings *all) {
    for (size_t i = 0; i < all->count; i++)
        if (is_packed(&all->items[i])) return true;
    return false;
}

/* What changes in config.json. */
static rubato_status change_config(const rubato_model *self, json_t *config, storage types, rubato_error *error) {
    char architecture[128];
    if (self->model_type) TRY(json_set(config, "model_type", json_string(self->model_type), error));
    const char *model_type = json_string_value(json_object_get(config, "model_type"));
    const bool pairs = self->info.task == RUBATO_TASK_MLM && self->heads[HEAD_NSP].present;
    const bool pre_trained = pairs || self->heads[HEAD_REPLACED].present;
    snprintf(architecture, sizeof architecture, "%s%s", class_name(self, model_type),
             pre_trained ? "ForPreTraining" : head_name(self));
    TRY(json_set(config, "architectures", json_pack("[s]", architecture), error));
    json_object_del(config, "torch_dtype");
    json_object_del(config, "num_labels"); /* id2label says it */
    const char *type = types.rest == DTYPE_F16 ? "float16" : types.rest == DTYPE_BF16 ? "bfloat16" : "float32";
    TRY(json_set(config, "dtype", json_string(type), error));
    /* makes transformers refuse the folder instead of inventing weights */
    if (any_packed(&self->bound))
        TRY(json_set(config, "quantization_config", json_pack("{s:s}", "quant_method", "rubato"), error));
    else
        json_object_del(config, "quantization_config");
    const config_keys *keys = &self->kind->keys;
    const encoder_config *sizes = &self->body.config;
    if (keys->layers && strcmp(keys->layers, SECOND_LAYERS) != 0) json_object_del(config, SECOND_LAYERS);
    if (keys->layers) TRY(json_set(config, keys->layers, json_integer((json_int_t)sizes->layers), error));
    if (keys->inner && !sizes->uneven && json_object_get(config, keys->inner))
        TRY(json_set(config, keys->inner, json_integer((json_int_t)sizes->inner), error));
    if (keys->positions)
        TRY(json_set(config, keys->positions, json_integer((json_int_t)(sizes->positions - sizes->uncounted)), error));
    TRY(json_set(config, "vocab_size", json_integer((json_int_t)sizes->vocabulary), error));
    if (self->untrained) TRY(json_set(config, "pad_token_id", json_integer(sizes->pad), error));
    if (self->info.label_count) {
        bool regression = self->info.task == RUBATO_TASK_REGRESSION;
        TRY(set_labels(self, config, error));
        const char *problem = regression               ? "regression"
                              : self->info.multi_label ? "multi_label_classification"
                                                       : "single_label_classification";
        if (self->info.task != RUBATO_TASK_TAGGING && !self->as_stored)
            TRY(json_set(config, "problem_type", json_string(problem), error));
    }
    return config_note(sizes, config, error);
}

static rubato_status write_config(const rubato_model *self, const char *folder, storage types, rubato_error *error) {
    json_t *config;
    TRY(json_read_file(&config, self->config_path, MAX_CONFIG_BYTES, error));
    rubato_status status = change_config(self, config, types, error);
    if (status == RUBATO_OK) status = model_write_json(config, folder, "config.json", error);
    json_decref(config);
    return status;
}

/* ---- Weights ---- */

/* Inputs [first, first + count) of a weight, each with all of its outputs. */
static void read_turned(const binding *of, size_t first, size_t count, float *out) {
    const linear *from = of->linear;
    for (size_t k = first; k < first + count; k++)
        for (size_t j = of->first; j < of->first + of->rows; j++)
            *out++ = from->packed[(j / PANEL * from->in + k) * PANEL + j % PANEL];
}

static void read_bound(const void *user, size_t first, size_t count, float *out) {
    const binding *from = user;
    const float *vector = NULL;
    switch (from->kind) {
    case BOUND_WEIGHT:
        if (from->turned) {
            read_turned(from, from->first_input + first, count, out);
            return;
        }
        linear_unpack(from->linear, from->first + first, count, out);
        return;
    case BOUND_TABLE:
    case BOUND_BUFFER: table_read(from->table, first, count, out); return;
    case BOUND_BIAS: vector = from->linear->bias + from->first; break;
    case BOUND_GAMMA: vector = from->norm->gamma; break;
    case BOUND_BETA: vector = from->norm->beta; break;
    }
    memcpy(out, vector, from->columns * sizeof *out);
}

static void read_stored(const void *user, size_t first, size_t count, float *out) {
    const stored_tensor *from = user;
    size_t columns = from->rank == 2 ? from->shape[1] : from->elements;
    dtype_read(out, from->type, from->data, first * columns, count * columns);
}

/* Whether a tensor belongs to no parameter but to the model: the pooler of one without a head. */
static bool is_carried(const rubato_model *self, const stored_tensor *stored) {
    bool pooler = self->info.task == RUBATO_TASK_EMBEDDING && strstr(stored->name, "pooler.");
    return stored->rank <= 2 && dtype_is_real(stored->type) && pooler;
}

typedef struct outgoing {
    tensor_source *tensors;
    char **names;
    void **made; /* what is quantised here */
    size_t count, made_count;
} outgoing;

static rubato_status add_tensor(outgoing *all, const char *prefix, const char *name, tensor_source values,
                                rubato_error *error) {
    text_buffer full = {0};
    text_add_format(&full, "%s%s", prefix, name);
    if (full.failed) return fail_memory(error);
    all->names[all->count] = full.data;
    values.name = full.data;
    all->tensors[all->count++] = values;
    return RUBATO_OK;
}

/* Adds a tensor named "X.PART" for one named "X.weight". */
static rubato_status add_part(outgoing *all, const char *prefix, const char *name, const char *part,
                              tensor_source values, rubato_error *error) {
    char full[PATH_BYTES];
    size_t stem = strlen(name) - (text_ends_with(name, ".weight") ? strlen(".weight") : 0);
    snprintf(full, sizeof full, "%.*s.%s", (int)stem, name, part);
    return add_tensor(all, prefix, full, values, error);
}

/* Layers that are stacked in one tensor have one name. The first one stands for all in *out, and the others are left
 * out: false. */
static bool join_stacked(const rubato_model *self, const binding *from, binding *out) {
    *out = *from;
    if ((from->kind != BOUND_WEIGHT && from->kind != BOUND_BIAS) || from->turned) return true;
    for (size_t i = 0; i < self->bound.count; i++) {
        const binding *other = &self->bound.items[i];
        if (other == from || other->kind != from->kind || other->linear != from->linear ||
            strcmp(other->name, from->name) != 0)
            continue;
        if (other < from) return false;
        *(from->kind == BOUND_WEIGHT ? &out->rows : &out->columns) +=
            from->kind == BOUND_WEIGHT ? other->rows : other->columns;
    }
    return true;
}

/* Adds a packed layer in its packed form, once for all of its stacked weights. */
static rubato_status add_packed(outgoing *all, const char *prefix, const binding *from, rubato_error *error) {
    const linear *layer_of = from->linear;
    if (from->first > 0) return RUBATO_OK;
    bool bytes = layer_of->precision == PRECISION_INT8;
    size_t words = precision_words(layer_of->precision, layer_of->in);
    TRY(add_part(all, prefix, from->name, "packed",
                 (tensor_source){.type = bytes ? DTYPE_I8 : DTYPE_BF16,
                                 .rows = divide_up(layer_of->out, PANEL),
                                 .columns = words * PANEL * (bytes ? 4 : 2),
                                 .raw = layer_of->low},
                 error));
    if (!bytes) return RUBATO_OK;
    TRY(add_part(all, prefix, from->name, "scale",
                 (tensor_source){.type = DTYPE_F32, .columns = layer_of->out, .raw = layer_of->scale}, error));
    if (layer_of->smooth)
        TRY(add_part(all, prefix, from->name, "smooth",
                     (tensor_source){.type = DTYPE_F32, .columns = layer_of->in, .raw = layer_of->smooth}, error));
    return add_part(all, prefix, from->name, "offset",
                    (tensor_source){.type = DTYPE_I32, .columns = layer_of->out, .raw = layer_of->offset}, error);
}

/* A table or a weight in bytes, with a scale for each row. */
static rubato_status add_bytes(outgoing *all, const char *prefix, const binding *from, rubato_error *error) {
    enum { CHUNK = 64 };
    int8_t *q = malloc(from->rows * from->columns); /* no larger than the tensor in its file */
    float *scale = malloc(from->rows * sizeof *scale), *rows = malloc(CHUNK * from->columns * sizeof *rows);
    if (q) all->made[all->made_count++] = q;
    if (scale) all->made[all->made_count++] = scale;
    rubato_status status = q && scale && rows ? RUBATO_OK : fail_memory(error);
    for (size_t first = 0; first < from->rows && status == RUBATO_OK; first += CHUNK) {
        size_t count = size_min(CHUNK, from->rows - first);
        read_bound(from, first, count, rows);
        if (!all_finite(rows, count * from->columns))
            status = fail(error, RUBATO_BAD_MODEL, "tensor \"%s\" holds NaN or infinity", from->name);
        else
            quantize_rows(rows, count, from->columns, q + first * from->columns, scale + first);
    }
    free(rows);
    TRY(status);
    TRY(add_tensor(all, prefix, from->name,
                   (tensor_source){.type = DTYPE_I8, .rows = from->rows, .columns = from->columns, .raw = q}, error));
    return add_part(all, prefix, from->name, "scale",
                    (tensor_source){.type = DTYPE_F32, .columns = from->rows, .raw = scale}, error);
}

/* Whether a weight belongs to a head, an exit or the embeddings, and not to a layer. */
static bool is_beside_layers(const rubato_model *self, const binding *from) {
    bool beside = from->place != IN_BODY || from->linear == &self->body.tables.projection;
    for (size_t i = 0; i < HEAD_COUNT; i++) beside = beside || from->linear == &self->heads[i].dense; /* a pooler */
    return beside;
}

static rubato_status add_bound(outgoing *all, const rubato_model *self, const char *prefix, const binding *from,
                               storage types, rubato_error *error) {
    bool embedding = from->kind == BOUND_TABLE && (from->table == &self->body.tables.word ||
                                                   from->table == &self->body.tables.position || from->table->slots);
    if (is_packed(from)) return add_packed(all, prefix, from, error);
    binding *whole = malloc(sizeof *whole);
    if (!whole) return fail_memory(error);
    all->made[all->made_count++] = whole;
    if (!join_stacked(self, from, whole)) return RUBATO_OK;
    from = whole;
    const bool weight = from->kind == BOUND_WEIGHT && !from->turned && !from->parts && is_beside_layers(self, from);
    if ((embedding || weight) && types.tables == DTYPE_I8) return add_bytes(all, prefix, from, error);
    return add_tensor(all, prefix, from->name,
                      (tensor_source){.type = embedding ? types.tables : types.rest,
                                      .rows = from->turned ? from->columns : from->rows,
                                      .columns = from->turned ? from->rows : from->columns,
                                      .parts = from->parts,
                                      .taps = from->taps,
                                      .behind_one = from->behind_one,
                                      .read = read_bound,
                                      .user = from},
                      error);
}

/* Collects all tensors. Packed layers come first, so that those of usual widths begin at multiples of 64 bytes and are
 * used in place. */
static rubato_status collect(outgoing *all, const rubato_model *self, storage types, rubato_error *error) {
    /* a file without a head often has no prefix, where one with a head has it */
    const char *prefix = self->prefix;
    if (!*prefix && self->info.task != RUBATO_TASK_EMBEDDING && self->kind->prefixes[0])
        prefix = self->kind->prefixes[0];
    for (int packed = 1; packed >= 0; packed--)
        for (size_t i = 0; i < self->bound.count; i++) {
            const binding *from = &self->bound.items[i];
            if (from->place != IN_EXITS && is_packed(from) == packed)
                TRY(add_bound(all, self, from->place == IN_BODY ? prefix : "", from, types, error));
        }
    for (size_t shard = 0; shard < self->weights.shard_count; shard++)
        for (size_t i = 0; i < self->weights.shards[shard].count; i++) {
            const stored_tensor *from = &self->weights.shards[shard].tensors[i];
            if (!is_carried(self, from)) continue;
            tensor_source values = {.type = types.rest,
                                    .rows = from->rank == 2 ? from->shape[0] : 0,
                                    .columns = from->rank == 2 ? from->shape[1] : from->elements,
                                    .read = read_stored,
                                    .user = from};
            TRY(add_tensor(all, prefix, from->name + strlen(self->prefix), values, error));
        }
    return RUBATO_OK;
}

static rubato_status collect_exits(outgoing *all, const rubato_model *self, storage types, rubato_error *error) {
    for (size_t i = 0; i < self->bound.count; i++)
        if (self->bound.items[i].place == IN_EXITS) TRY(add_bound(all, self, "", &self->bound.items[i], types, error));
    return RUBATO_OK;
}

typedef rubato_status collect_function(outgoing *all, const rubato_model *self, storage types, rubato_error *error);

/* Writes FOLDER/NAME. */
static rubato_status write_weights(const rubato_model *self, const char *folder, const char *name,
                                   collect_function *collect_them, storage types, rubato_error *error) {
    char path[PATH_BYTES];
    size_t stored = 0;
    outgoing all = {0};
    for (size_t i = 0; i < self->weights.shard_count; i++) stored += self->weights.shards[i].count;
    size_t most = 4 * self->bound.count + stored + 1;
    all.tensors = calloc(most, sizeof *all.tensors);
    all.names = calloc(most, sizeof *all.names);
    all.made = calloc(most, sizeof *all.made);
    rubato_status status = all.tensors && all.names && all.made ? RUBATO_OK : fail_memory(error);
    if (status == RUBATO_OK) status = collect_them(&all, self, types, error);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (status == RUBATO_OK) status = safetensors_write(path, all.tensors, all.count, NULL, error);
    for (size_t i = 0; i < all.count; i++) free(all.names[i]);
    for (size_t i = 0; i < all.made_count; i++) free(all.made[i]);
    free(all.names);
    free(all.made);
    free(all.tensors);
    return status;
}

rubato_status model_save_points(const frontier *points, const json_t *notes, const char *folder, rubato_error *error) {
    json_t *object = notes ? json_deep_copy(notes) : json_object();
    if (!object) return fail_memory(error);
    rubato_status status = frontier_write(points, object, error);
    if (status == RUBATO_OK) status = model_write_json(object, folder, "rubato.json", error);
    json_decref(object);
    return status;
}

rubato_status model_write(const rubato_model *self, const char *folder, storage types, const json_t *notes,
                          rubato_error *error) {
    char path[PATH_BYTES];
    TRY(copy_tokenizer(self, folder, error));
    if (self->info.task == RUBATO_TASK_EMBEDDING) TRY(copy_sentence_files(self, folder, error));
    TRY(write_config(self, folder, types, error));
    TRY(write_weights(self, folder, "model.safetensors", collect, types, error));
    if (self->exits.kind == EXIT_NONE) return model_save_points(&self->points, notes, folder, error);
    snprintf(path, sizeof path, "%s/exits", folder);
    TRY(folder_create(path, error));
    TRY(write_weights(self, folder, "exits/model.safetensors", collect_exits, types, error));
    json_t *all = notes ? json_deep_copy(notes) : json_object();
    if (!all) return fail_memory(error);
    rubato_status status = exits_note(&self->exits, all, error);
    if (status == RUBATO_OK) status = model_save_points(&self->points, all, folder, error);
    json_decref(all);
    return status;
}

rubato_status model_save(const rubato_model *self, const char *folder, storage types, const json_t *notes,
                         rubato_error *error) {
    staged_files staged;
    TRY(staged_open(&staged, folder, error));
    rubato_status status = model_write(self, staged.path, types, notes, error);
    if (status == RUBATO_OK) return output_commit(&staged, false, error);
    staged_abandon(&staged);
    return status;
}
