/* LoRA adapters. */
#include "store/adapter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "base/text_buffer.h"

enum { MAX_CONFIG_BYTES = 16 << 20, PATH_BYTES = 4096, NAME_BYTES = 512 };

/* ---- adapter_config.json ---- */

static const struct {
    const char *type, *architecture;
} tasks[] = {{"SEQ_CLS", "ForSequenceClassification"},
             {"TOKEN_CLS", "ForTokenClassification"},
             {"QUESTION_ANS", "ForQuestionAnswering"},
             {"FEATURE_EXTRACTION", "Model"}};

static rubato_status read_task(adapter *self, rubato_error *error) {
    const char *type;
    const json_t *mapping;
    TRY(json_get_text(&type, self->config, "task_type", NULL, error));
    TRY(json_get_object(&mapping, self->config, "auto_mapping", error));
    if (!type) return json_get_text(&self->architecture, mapping, "base_model_class", NULL, error);
    for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++)
        if (strcmp(type, tasks[i].type) == 0) self->architecture = tasks[i].architecture;
    if (self->architecture) return RUBATO_OK;
    return fail(error, RUBATO_UNSUPPORTED, "adapter_config.json: task_type \"%.40s\" has no head here", type);
}

static bool is_set(const json_t *value) {
    return value && !json_is_null(value) && !json_is_false(value) &&
           (!json_is_object(value) || json_object_size(value)) && (!json_is_array(value) || json_array_size(value));
}

/* Settings by which the merged weight is another one. */
static rubato_status check_variant(const json_t *config, rubato_error *error) {
    static const char *const variants[] = {"use_dora",
                                           "use_qalora",
                                           "use_bdlora",
                                           "lora_bias",
                                           "arrow_config",
                                           "kasa_config",
                                           "monteclora_config",
                                           "alora_invocation_tokens",
                                           "layer_replication",
                                           "target_parameters",
                                           "trainable_token_indices"};
    /* beginnings that leave the base model as it is */
    static const char *const plain[] = {"gaussian", "eva", "orthogonal"};
    const char *type, *first = json_string_value(json_object_get(config, "init_lora_weights"));
    TRY(json_get_text(&type, config, "peft_type", "", error));
    if (strcmp(type, "LORA") != 0)
        return fail(error, RUBATO_UNSUPPORTED, "adapter_config.json: peft_type \"%.40s\"; LORA is merged", type);
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++)
        if (is_set(json_object_get(config, variants[i])))
            return fail(error, RUBATO_UNSUPPORTED,
                        "adapter_config.json: %s is not merged here; merge the adapter with peft (merge_and_unload)",
                        variants[i]);
    bool known = !first;
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) known = known || strcmp(first, plain[i]) == 0;
    if (known) return RUBATO_OK;
    return fail(error, RUBATO_UNSUPPORTED,
                "adapter_config.json: init_lora_weights \"%.40s\" changes the base model; merge the adapter with peft "
                "(merge_and_unload)",
                first);
}

static rubato_status read_config(adapter *self, rubato_error *error) {
    if (!json_is_object(self->config)) return fail(error, RUBATO_BAD_MODEL, "adapter_config.json: not an object");
    TRY(check_variant(self->config, error));
    TRY(json_get_text(&self->base, self->config, "base_model_name_or_path", NULL, error));
    if (!self->base || !*self->base)
        return fail(error, RUBATO_BAD_MODEL, "adapter_config.json: base_model_name_or_path names no model");
    return read_task(self, error);
}

rubato_status adapter_open(adapter *self, const char *folder, file_reading how, rubato_error *error) {
    char path[PATH_BYTES];
    *self = (adapter){0};
    if ((size_t)snprintf(path, sizeof path, "%s/adapter_config.json", folder) >= sizeof path || !path_exists(path))
        return RUBATO_OK;
    TRY(json_read_file(&self->config, path, MAX_CONFIG_BYTES, error));
    rubato_status status = read_config(self, error);
    if (status == RUBATO_OK) status = checkpoint_open_adapter(&self->weights, folder, how, error);
    if (status != RUBATO_OK) adapter_close(self);
    return status;
}

void adapter_close(adapter *self) {
    checkpoint_close(&self->weights);
    json_decref(self->config);
    *self = (adapter){0};
}

/* ---- The scale of a module ---- */

/* Whether a key of rank_pattern or alpha_pattern names the module: wholly, or its end behind a dot. A key is a regular
 * expression; those are read that are a name, with '.' for any character, "\." for a dot and '^' for the beginning. */
static rubato_status key_matches(bool *matches, const char *key, const char *module, rubato_error *error) {
    char name[NAME_BYTES];
    size_t length = 0, whole = strlen(module);
    const char *c = key + (*key == '^');
    for (; *c && length < sizeof name; c++) {
        bool dot = c[0] == '\\' && c[1] == '.';
        if (!dot && !strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.", *c)) break;
        name[length++] = *c == '.' ? '?' : dot ? '.' : *c;
        c += dot;
    }
    if (*c)
        return fail(error, RUBATO_UNSUPPORTED,
                    "adapter_config.json: the pattern \"%.80s\" is a regular expression; names of modules are read",
                    key);
    *matches = length <= whole && (length == whole || (*key != '^' && module[whole - length - 1] == '.'));
    for (size_t i = 0; i < length && *matches; i++) *matches = name[i] == '?' || name[i] == module[whole - length + i];
    return RUBATO_OK;
}

/* A number of the adapter's settings, or what the first key that names the module says instead. */
static rubato_status read_number(double *out, const adapter *self, const char *key, const char *patterns,
                                 const char *module, rubato_error *error) {
    const json_t *special;
    const char *name;
    json_t *value;
    TRY(json_get_real(out, self->config, key, 8, error));
    TRY(json_get_object(&special, self->config, patterns, error));
    json_object_foreach((json_t *)(uintptr_t)special, name, value) {
        bool matches;
        TRY(key_matches(&matches, name, module, error));
        if (matches) return json_get_real(out, special, name, *out, error);
    }
    return RUBATO_OK;
}

static rubato_status read_scaling(float *out, const adapter *self, const char *module, size_t rank,
                                  rubato_error *error) {
    double said, alpha;
    bool stable;
    TRY(read_number(&said, self, "r", "rank_pattern", module, error));
    TRY(read_number(&alpha, self, "lora_alpha", "alpha_pattern", module, error));
    TRY(json_get_bool(&stable, self->config, "use_rslora", false, error));
    if (said != (double)rank)
        return fail(error, RUBATO_BAD_MODEL, "adapter: \"%.120s\" is of rank %zu, adapter_config.json makes it %g",
                    module, rank, said);
    *out = (float)(alpha / (stable ? sqrt(said) : said));
    return RUBATO_OK;
}

/* ---- Merging ---- */

/* What a tensor of an adapter is. */
typedef enum part { PART_WHOLE, PART_A, PART_B, PART_TABLE_A, PART_TABLE_B, PART_UNUSED, PART_OTHER } part;

static const struct {
    const char *end;
    part is;
} ends[] = {{".lora_A.weight", PART_A},
            {".lora_B.weight", PART_B},
            {".lora_embedding_A", PART_TABLE_A},
            {".lora_embedding_B", PART_TABLE_B}};

static const char begin[] = "base_model.model."; /* of the names of an adapter's tensors */

/* The tensor of that name in the base model's class that the adapter has whole, or NULL. */
static const stored_tensor *find_whole(const adapter *self, const char *name) {
    char full[NAME_BYTES + sizeof begin];
    snprintf(full, sizeof full, "%s%s", begin, name);
    const stored_tensor *found = checkpoint_find(&self->weights, full);
    return found ? found : checkpoint_find(&self->weights, name);
}

/* Takes a part out of a name where it is there. */
static bool cut(char *name, const char *inner) {
    char *at = strstr(name, inner);
    if (at) memmove(at, at + strlen(inner), strlen(at + strlen(inner)) + 1);
    return at != NULL;
}

/* The name that a tensor has in the base model's class; of a part of a LoRA that of the module. */
static rubato_status read_name(char name[NAME_BYTES], part *is, const adapter *self, const char *stored,
                               rubato_error *error) {
    const char *rest = strncmp(stored, begin, sizeof begin - 1) == 0 ? stored + sizeof begin - 1 : stored;
    if ((size_t)snprintf(name, NAME_BYTES, "%s", rest) >= NAME_BYTES)
        return fail(error, RUBATO_BAD_MODEL, "adapter: a tensor's name is too long");
    *is = strstr(name, ".lora_") ? PART_OTHER : PART_WHOLE;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (text_ends_with(name, ends[i].end)) {
            *is = ends[i].is;
            name[strlen(name) - strlen(ends[i].end)] = 0;
        }
    if (*is != PART_WHOLE) return RUBATO_OK;
    cut(name, ".base_layer");
    /* peft writes biases of heads two or three times; the plain name holds what it reads */
    bool copy = cut(name, ".modules_to_save");
    if (cut(name, ".original_module") || (copy && find_whole(self, name))) *is = PART_UNUSED;
    return RUBATO_OK;
}

/* The base's tensor under the adapter's name, whose prefix may differ. Where the base has none, NULL; `name` then has
 * the base's prefix. */
static const stored_tensor *find_base(const checkpoint *base, char name[NAME_BYTES], const char *const prefixes[4],
                                      const char *prefix) {
    char other[2 * NAME_BYTES];
    const stored_tensor *found = checkpoint_find(base, name);
    for (size_t i = 0; i < 4 && prefixes[i] && !found; i++) {
        size_t length = strlen(prefixes[i]);
        if (length == 0 || strncmp(name, prefixes[i], length) != 0) continue;
        snprintf(other, sizeof other, "%s%s", prefix, name + length);
        if (strlen(other) < NAME_BYTES) memcpy(name, other, strlen(other) + 1);
        return checkpoint_find(base, name);
    }
    if (found) return found;
    snprintf(other, sizeof other, "%s%s", prefix, name);
    return checkpoint_find(base, other);
}

/* A weight that changes: base + scaling * b a, and of a table the transposed of b a. */
typedef struct change {
    const stored_tensor *base, *a, *b;
    bool table;
    float scaling;
} change;

static rubato_status check_change(const change *of, const char *module, rubato_error *error) {
    const stored_tensor *parts[] = {of->base, of->a, of->b};
    for (size_t i = 0; i < 3; i++)
        if (parts[i]->rank != 2 || !dtype_is_real(parts[i]->type) || !parts[i]->elements)
            return fail(error, RUBATO_UNSUPPORTED, "adapter: tensor \"%.120s\" is no matrix of real numbers",
                        parts[i]->name);
    const size_t *base = of->base->shape, *a = of->a->shape, *b = of->b->shape;
    if (a[0] == b[1] && base[of->table] == b[0] && base[!of->table] == a[1]) return RUBATO_OK;
    return fail(error, RUBATO_BAD_MODEL,
                "adapter: \"%.120s\" multiplies [%zu, %zu] and [%zu, %zu]; the base model's weight is [%zu, %zu]",
                module, b[0], b[1], a[0], a[1], base[0], base[1]);
}

/* A matrix as floats, transposed if wanted; NULL: no memory. */
static float *read_matrix(const stored_tensor *from, bool turn) {
    size_t rows = from->shape[0], columns = from->shape[1];
    float *values = calloc(from->elements, sizeof *values);
    if (!values) return NULL;
    dtype_read(values, from->type, from->data, 0, from->elements);
    if (!turn) return values;
    float *turned = calloc(from->elements, sizeof *turned);
    for (size_t i = 0; i < rows && turned; i++)
        for (size_t j = 0; j < columns; j++) turned[j * rows + i] = values[i * columns + j];
    free(values);
    return turned;
}

/* out [rows, columns] of the base's shape */
static rubato_status apply(const change *of, float *out, rubato_error *error) {
    size_t rows = of->base->shape[0], columns = of->base->shape[1], rank = of->a->shape[0];
    float *left = read_matrix(of->table ? of->a : of->b, of->table);
    float *right = read_matrix(of->table ? of->b : of->a, of->table);
    float *sum = malloc(columns * sizeof *sum);
    bool whole = left && right && sum;
    for (size_t i = 0; i < rows && whole; i++, out += columns) {
        memset(sum, 0, columns * sizeof *sum);
        for (size_t k = 0; k < rank; k++)
            for (size_t j = 0; j < columns; j++) sum[j] += left[i * rank + k] * right[k * columns + j];
        dtype_read(out, of->base->type, of->base->data, i * columns, columns);
        for (size_t j = 0; j < columns; j++) out[j] += of->scaling * sum[j];
    }
    free(left);
    free(right);
    free(sum);
    return whole ? RUBATO_OK : fail_memory(error);
}

typedef struct merger {
    adapter *self;
    const checkpoint *base;
    const char *const *prefixes, *prefix;
    tensor_file out;
    change *changes;
    size_t change_count, bytes; /* of the changed weights */
    rubato_error *error;
} merger;

/* Adds a tensor under that name. */
static rubato_status add_tensor(merger *m, const stored_tensor *like, const char *name) {
    stored_tensor *made = &m->out.tensors[m->out.count];
    *made = *like;
    made->name = text_copy(name, strlen(name));
    if (!made->name) return fail_memory(m->error);
    m->out.count++;
    return RUBATO_OK;
}

/* Adds the change of a module's weight, whose first part is `a`. */
static rubato_status add_change(merger *m, const stored_tensor *a, const char *module, bool table) {
    char name[NAME_BYTES + 64];
    change *made = &m->changes[m->change_count];
    size_t stem = strlen(a->name) - strlen(table ? ".lora_embedding_A" : ".lora_A.weight");
    snprintf(name, sizeof name, "%.*s%s", (int)stem, a->name, table ? ".lora_embedding_B" : ".lora_B.weight");
    *made = (change){.a = a, .b = checkpoint_find(&m->self->weights, name), .table = table};
    if (!made->b) return fail(m->error, RUBATO_BAD_MODEL, "adapter: tensor \"%.120s\" is missing", name);
    if ((size_t)snprintf(name, NAME_BYTES, "%s.weight", module) < NAME_BYTES)
        made->base = find_base(m->base, name, m->prefixes, m->prefix);
    if (!made->base)
        return fail(m->error, RUBATO_BAD_MODEL,
                    "adapter: it changes \"%.120s.weight\", which the base model does not have (a quantised one has "
                    "other weights)",
                    module);
    TRY(check_change(made, module, m->error));
    TRY(read_scaling(&made->scaling, m->self, module, a->shape[0], m->error));
    stored_tensor like = *made->base;
    like.type = DTYPE_F32;
    like.data = NULL;
    TRY(tensor_measure(&like, "adapter", module, m->error));
    if (!checked_add(m->bytes, like.bytes, &m->bytes)) return fail_memory(m->error);
    m->change_count++;
    return add_tensor(m, &like, made->base->name);
}

static rubato_status add_part(merger *m, const stored_tensor *from) {
    char name[NAME_BYTES];
    part is = PART_OTHER;
    TRY(read_name(name, &is, m->self, from->name, m->error));
    switch (is) {
    case PART_A:
    case PART_TABLE_A: return add_change(m, from, name, is == PART_TABLE_A);
    case PART_WHOLE: {
        const stored_tensor *base = find_base(m->base, name, m->prefixes, m->prefix);
        return add_tensor(m, from, base ? base->name : name);
    }
    case PART_OTHER:
        return fail(m->error, RUBATO_UNSUPPORTED, "adapter: tensor \"%.120s\" belongs to no LoRA that is merged here",
                    from->name);
    case PART_B:
    case PART_TABLE_B:
    case PART_UNUSED: break;
    }
    return RUBATO_OK;
}

static rubato_status merge(merger *m, tensor_file *from) {
    unsigned char *memory;
    m->out.tensors = calloc(from->count + 1, sizeof *m->out.tensors);
    m->changes = calloc(from->count + 1, sizeof *m->changes);
    if (!m->out.tensors || !m->changes) return fail_memory(m->error);
    for (size_t i = 0; i < from->count; i++) TRY(add_part(m, &from->tensors[i]));
    TRY(tensor_file_sort(&m->out, "adapter", m->error)); /* so each weight changes once */
    TRY(file_map_memory(&m->out.made, &memory, m->bytes, m->error));
    for (size_t i = 0; i < m->change_count; i++) {
        stored_tensor *made = (stored_tensor *)(uintptr_t)tensor_file_find(&m->out, m->changes[i].base->name);
        TRY(apply(&m->changes[i], (float *)(void *)memory, m->error));
        made->data = memory;
        memory += made->bytes;
    }
    return RUBATO_OK;
}

rubato_status adapter_merge(adapter *self, checkpoint *base, const char *const prefixes[4], const char *prefix,
                            rubato_error *error) {
    merger m = {.self = self, .base = base, .prefixes = prefixes, .prefix = prefix, .error = error};
    tensor_file *from = &self->weights.shards[0];
    rubato_status status = merge(&m, from);
    if (status == RUBATO_OK) status = checkpoint_overlay(base, &m.out, from, error);
    free(m.changes);
    tensor_file_close(&m.out);
    return status;
}

size_t adapter_rows(const adapter *self, const char *name) {
    char full[NAME_BYTES];
    snprintf(full, sizeof full, "%s.weight", name);
    const stored_tensor *stored = find_whole(self, full);
    return stored && stored->rank == 2 ? stored->shape[0] : 0;
}
