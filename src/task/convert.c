/* rubato_convert: another attention, more positions, and memories. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention/attending.h"
#include "base/checked.h"
#include "base/options.h"
#include "base/text_buffer.h"
#include "base/text_list.h"
#include "base/utf8.h"
#include "feeding/memory.h"
#include "store/safetensors_write.h"
#include "task/folder.h"
#include "task/load.h"
#include "task/output_folder.h"
#include "task/save.h"

enum { MAX_JSON = 16 << 20, MOST_POSITIONS = 1 << 22, PATH_BYTES = 4200, WEIGHTS = 2 };

typedef struct converting {
    const rubato_convert_options *options;
    rubato_model *model;
    float *positions; /* replaces the model's table */
    json_t *feed_forward;
    staged_files staged;
    size_t added;
} converting;

/* ---- The setting ---- */

/* NULL: no memory. */
static json_t *read_value(const char *text) {
    char *end;
    const double number = strtod(text, &end);
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) return json_boolean(*text == 't');
    if (end == text || *end || !(fabs(number) < 1e15)) return json_string(text);
    return number == (double)(json_int_t)number ? json_integer((json_int_t)number) : json_real(number);
}

/* Keys of the object in config.json that are no settings. */
static bool is_reserved(const char *key) {
    return strcmp(key, "mechanism") == 0 || strcmp(key, "layers") == 0 || strcmp(key, "note") == 0;
}

/* Adds "KEY=VALUE"; what: for messages. */
static rubato_status add_setting(json_t *to, char *setting, const char *what, rubato_error *error) {
    char *equals = strchr(setting, '=');
    if (!equals || equals == setting)
        return fail(error, RUBATO_BAD_ARGUMENT, "%s: \"%.60s\" is no setting; give KEY=VALUE, as window=256", what,
                    setting);
    *equals = 0;
    if (is_reserved(setting) || json_object_get(to, setting))
        return fail(error, RUBATO_BAD_ARGUMENT, "%s: \"%.60s\" is %s", what, setting,
                    is_reserved(setting) ? "no setting" : "given twice");
    return json_set(to, setting, read_value(equals + 1), error);
}

/* {KEY OF NAME: NAME, KEY: VALUE, ...} of "NAME,KEY=VALUE,..." */
static rubato_status read_setting(json_t **out, const char *what, const char *name_key, const char *text,
                                  rubato_error *error) {
    size_t count = 0;
    if (utf8_check(text, strlen(text)) != strlen(text)) return fail(error, RUBATO_BAD_ARGUMENT, "%s: not UTF-8", what);
    char **list = text_list_split(text, &count);
    json_t *made = json_object();
    rubato_status status = !list || !made ? fail_memory(error) : RUBATO_OK;
    if (status == RUBATO_OK && (count == 0 || strchr(list[0], '=')))
        status =
            fail(error, RUBATO_BAD_ARGUMENT, "%s \"%.80s\": a name comes first, and then its settings", what, text);
    if (status == RUBATO_OK) status = json_set(made, name_key, json_string(list[0]), error);
    for (size_t i = 1; i < count && status == RUBATO_OK; i++) status = add_setting(made, list[i], what, error);
    free(list);
    if (status != RUBATO_OK)
        json_decref(made);
    else
        *out = made;
    return status;
}

/* A key that the mechanism does not write again is none of its settings. */
static rubato_status check_keys(const char *what, const part_choice *choice, const json_t *wanted,
                                rubato_error *error) {
    json_t *noted = json_object();
    const char *key;
    const json_t *value;
    rubato_status status = noted ? RUBATO_OK : fail_memory(error);
    if (status == RUBATO_OK && choice->kind->note) status = choice->kind->note(choice->setting, noted, error);
    json_object_foreach((json_t *)wanted, key, value) {
        if (status == RUBATO_OK && !is_reserved(key) && !json_object_get(noted, key))
            status = fail(error, RUBATO_BAD_ARGUMENT, "%s has no setting \"%.40s\"", what, key);
    }
    json_decref(noted);
    return status;
}

/* The numbers of --layers as a list of config.json. Where there are memories, they are the memories' layers. */
static rubato_status put_layers(json_t *to, const converting *c, rubato_error *error) {
    size_t layers[POINT_LAYERS], count = 0;
    TRY(layers_parse(c->options->layers, layers, &count, error));
    if (count == 0 || c->options->memory) return RUBATO_OK;
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) json_add(&list, json_integer((json_int_t)layers[i]));
    return json_set(to, "layers", list, error);
}

/* The attention that was chosen: of all layers, or of some. */
static const part_choice *chosen_attention(const converting *c) {
    const encoder_config *config = &c->model->body.config;
    return config->other_attention_layers ? &config->other_attention : &config->attention;
}

static rubato_status choose_attention(converting *c, rubato_error *error) {
    encoder_config *changed = &c->model->body.config;
    const part_choice *choice = &changed->attention;
    json_t *wanted = NULL;
    if (!c->options->attention) return RUBATO_OK;
    if (choice->kind != attending_table.kinds[0] || !attending_sorts(choice) || changed->theta[0] > 0 ||
        changed->other_attention_layers)
        return fail(error, RUBATO_UNSUPPORTED, "%s: its attention is %s; another one is made of dense attention alone",
                    c->options->model,
                    choice->kind != attending_table.kinds[0] ? choice->kind->name
                    : changed->other_attention_layers > 0    ? "of two kinds"
                                                             : "by distances");
    TRY(read_setting(&wanted, "attention", "mechanism", c->options->attention, error));
    const char *name = json_string_value(json_object_get(wanted, "mechanism"));
    if (!part_find(&attending_table, name)) {
        part_unknown(&attending_table, "attention", name, error);
        json_decref(wanted);
        return RUBATO_BAD_ARGUMENT;
    }
    char what[80];
    snprintf(what, sizeof what, "attention %.40s", name);
    json_t *config = json_pack("{s:O}", attending_table.key, wanted);
    rubato_status status = config ? put_layers(wanted, c, error) : fail_memory(error);
    if (status == RUBATO_OK) status = config_parse_attention(changed, config, error);
    if (status == RUBATO_OK) status = check_keys(what, chosen_attention(c), wanted, error);
    if (status == RUBATO_OK && changed->causal) status = config_check_causal(changed, c->model->kind, error);
    json_decref(config);
    json_decref(wanted);
    return status == RUBATO_BAD_MODEL || status == RUBATO_UNSUPPORTED
               ? fail_within(error, RUBATO_BAD_ARGUMENT, "--attention")
               : status;
}

/* ---- Memories ---- */

/* The object for config.json of "res,slots=65536"; null for "none". */
static rubato_status read_memory(json_t **out, const rubato_convert_options *options, rubato_error *error) {
    size_t layers[POINT_LAYERS], count = 0;
    TRY(layers_parse(options->layers, layers, &count, error));
    if (strcmp(options->memory, "none") == 0) {
        *out = json_null();
        return RUBATO_OK;
    }
    if (count == 0) return fail(error, RUBATO_BAD_ARGUMENT, "--memory needs --layers, as 4,8 (the first layer is 0)");
    TRY(read_setting(out, "memory", "form", options->memory, error));
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) json_add(&list, json_integer((json_int_t)layers[i]));
    json_put(out, "mechanism", json_string("memory"));
    json_put(out, "layers", list);
    return *out ? RUBATO_OK : fail_memory(error);
}

static rubato_status check_memory(const converting *c, const rubato_model *model, rubato_error *error) {
    const encoder_config *config = &model->body.config;
    const part_choice *own = config->other_layers ? &config->other_feeding : &config->feeding;
    const bool has = own->kind == &feeding_memory.part;
    if (!json_is_null(c->feed_forward)) {
        part_choice choice = {0};
        json_t *all;
        if (has || config->other_layers || config->feeding.kind != feeding_table.kinds[0])
            return fail(error, RUBATO_UNSUPPORTED, "%s: %s", c->options->model,
                        has ? "it has memories already; --memory none leaves them out"
                            : "its feed-forward parts are not dense");
        if (!(all = json_pack("{s:O}", feeding_table.key, c->feed_forward))) return fail_memory(error);
        rubato_status status = part_configure(&choice, &feeding_table, all, error);
        json_decref(all);
        if (status == RUBATO_BAD_MODEL || status == RUBATO_UNSUPPORTED)
            return fail_within(error, RUBATO_BAD_ARGUMENT, "--memory");
        TRY(status);
        return check_keys("memory", &choice, c->feed_forward, error);
    }
    if (!has) return fail(error, RUBATO_BAD_ARGUMENT, "%s: it has no memories", c->options->model);
    const memory_setting *setting = (const memory_setting *)(const void *)own->setting;
    if (setting->form == MEMORY_PKM)
        return fail(error, RUBATO_UNSUPPORTED, "%s: its memories stand in place of feed-forward parts, which are gone",
                    c->options->model);
    return RUBATO_OK;
}

/* ---- Positions ---- */

/* Beltagy et al. 2020: the table is repeated, without the rows before the first token's. */
static rubato_status add_positions(converting *c, rubato_error *error) {
    encoder *body = &c->model->body;
    table *places = &body->tables.position;
    const size_t first = body->config.first_position, own = places->rows, wanted = c->options->positions + first;
    if (!c->options->positions || wanted == own) return RUBATO_OK;
    TRY(config_check_length(&body->config, c->options->model, error));
    if (!places->data || own <= first)
        return fail(error, RUBATO_UNSUPPORTED, "%s has no table of positions", c->options->model);
    if (wanted < own)
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "--max-length %zu: the model takes %zu tokens; trim --positions makes it shorter",
                    c->options->positions, own - first);
    if (c->options->positions > MOST_POSITIONS)
        return fail(error, RUBATO_BAD_ARGUMENT, "--max-length %zu: at most %d", c->options->positions, MOST_POSITIONS);
    c->positions = malloc(wanted * places->width * sizeof *c->positions);
    if (!c->positions) return fail_memory(error);
    for (size_t i = 0; i < wanted; i++)
        table_copy(places, i < own ? i : first + (i - first) % (own - first), c->positions + i * places->width);
    bindings_replace_table(&c->model->bound, places, c->positions, wanted);
    body->config.positions = wanted;
    return RUBATO_OK;
}

/* ---- New tensors ---- */

/* The mean of `rows` inputs side by side, or of `rows` segments of `width` places. */
typedef struct mean_weight {
    size_t width, rows;
} mean_weight;

static void read_mean(const void *user, size_t first, size_t count, float *out) {
    const mean_weight *of = user;
    memset(out, 0, count * of->rows * of->width * sizeof *out);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < of->rows; j++)
            out[i * of->rows * of->width + j * of->width + first + i] = 1 / (float)of->rows;
}

static void read_zeros(const void *user, size_t first, size_t count, float *out) {
    const mean_weight *of = user;
    (void)first;
    memset(out, 0, (count ? count : 1) * of->width * sizeof *out);
}

/* Places [first, first + count) of [width, rows]. */
static void read_segments(const void *user, size_t first, size_t count, float *out) {
    const mean_weight *of = user;
    memset(out, 0, count * of->rows * sizeof *out);
    for (size_t i = 0; i < count; i++) {
        const size_t segment = (first + i) * of->rows / of->width;
        out[i * of->rows + segment] = (float)fmin(1, (double)of->rows / (double)of->width);
    }
}

/* Each row is drawn by its number. */
static void read_drawn(const void *user, size_t first, size_t count, float *out) {
    const mean_weight *of = user;
    for (size_t i = 0; i < count; i++) {
        uint64_t state = random_hash(first + i);
        for (size_t j = 0; j < of->width; j++) out[i * of->width + j] = (float)random_normal(&state);
    }
}

typedef struct enlarging {
    checkpoint weights;
    tensor_source *tensors;
    char **names; /* of new ones */
    mean_weight *means;
    size_t count, name_count, mean_count, heads;
} enlarging;

static tensor_source as_stored(const stored_tensor *from, const char *name) {
    const bool matrix = from->rank == 2;
    return (tensor_source){.name = name,
                           .type = from->type,
                           .rows = matrix ? from->shape[0] : 0,
                           .columns = matrix ? from->shape[1] : from->elements,
                           .raw = from->data};
}

/* Adds "X.NAME.SUFFIX" for a tensor "X.query.SUFFIX". */
static rubato_status add_beside(enlarging *e, const stored_tensor *beside, const added_tensor *wanted,
                                const char *suffix, tensor_source values, rubato_error *error) {
    const size_t lead = strlen(beside->name) - strlen(suffix);
    size_t at = lead;
    text_buffer full = {0};
    while (at > 0 && beside->name[at - 1] != '.') at--;
    text_add_format(&full, "%.*s%s%s", (int)at, beside->name, wanted->name, suffix);
    if (full.failed) return fail_memory(error);
    e->names[e->name_count++] = full.data;
    values.name = full.data;
    e->tensors[e->count++] = values;
    return RUBATO_OK;
}

/* Whether a tensor is the weight or the bias of a layer that has that last word in its name. */
static bool is_layer(const stored_tensor *stored, const char *pattern, const char *suffix) {
    char end[128];
    const char *leaf = strrchr(pattern, '.');
    snprintf(end, sizeof end, ".%s%s", leaf ? leaf + 1 : pattern, suffix);
    return text_ends_with(stored->name, end);
}

/* Whether a tensor belongs to a layer that gets the new attention. */
static bool is_chosen(const converting *c, const stored_tensor *stored) {
    const uint64_t some = c->model->body.config.other_attention_layers;
    const char *pattern = c->model->kind->names.query, *number = strstr(pattern, "%zu");
    char lead[128];
    snprintf(lead, sizeof lead, "%.*s", (int)(number - pattern), pattern);
    const char *found = strstr(stored->name, lead);
    if (!some || !found) return true;
    const unsigned long place = strtoul(found + strlen(lead), NULL, 10);
    return place < MOST_UNEVEN && some >> place & 1;
}

static rubato_status add_new(const converting *c, enlarging *e, const added_tensor *wanted, rubato_error *error) {
    static const char *const suffixes[] = {".weight", ".bias"};
    const tensor_names *names = &c->model->kind->names;
    const size_t longest = encoder_max_length(&c->model->body.config);
    const char *const patterns[] = {names->query, names->key,   names->value, names->query, names->query,
                                    names->query, names->query, names->query, names->query};
    const bool is_table = wanted->like >= LIKE_SEGMENTS;
    for (size_t shard = 0; shard < e->weights.shard_count; shard++)
        for (size_t i = 0; i < e->weights.shards[shard].count; i++)
            for (size_t s = 0; s < (is_table ? 1 : WEIGHTS); s++) {
                const stored_tensor *from = &e->weights.shards[shard].tensors[i];
                if (!is_layer(from, patterns[wanted->like], suffixes[s]) || !is_chosen(c, from)) continue;
                tensor_source values = as_stored(from, NULL);
                if (wanted->like == LIKE_MEAN) {
                    mean_weight *mean = &e->means[e->mean_count++];
                    *mean = (mean_weight){s ? from->elements : from->shape[0], wanted->rows};
                    values = (tensor_source){.type = from->type,
                                             .rows = s ? 0 : mean->width,
                                             .columns = mean->width * (s ? 1 : wanted->rows),
                                             .read = s ? read_zeros : read_mean,
                                             .user = mean};
                }
                if (wanted->like == LIKE_SEGMENTS) {
                    mean_weight *segments = &e->means[e->mean_count++];
                    *segments = (mean_weight){longest, wanted->rows};
                    values = (tensor_source){.type = from->type,
                                             .rows = longest,
                                             .columns = wanted->rows,
                                             .read = read_segments,
                                             .user = segments};
                }
                if (wanted->like >= DRAWN_ROWS) {
                    mean_weight *sizes = &e->means[e->mean_count++];
                    *sizes = (mean_weight){from->shape[0], wanted->rows ? wanted->rows : longest};
                    if (wanted->rows == ROWS_OF_INPUTS) sizes->rows = from->shape[1];
                    if (wanted->like == ZERO_HEADS) sizes->width = e->heads;
                    if (wanted->like == ZERO_TAPS) *sizes = (mean_weight){wanted->rows, e->heads};
                    values = (tensor_source){.type = from->type,
                                             .rows = sizes->rows,
                                             .columns = sizes->width,
                                             .read = wanted->like == DRAWN_ROWS ? read_drawn : read_zeros,
                                             .user = sizes};
                }
                TRY(add_beside(e, from, wanted, suffixes[s], values, error));
            }
    return RUBATO_OK;
}

/* Whether the mechanism lacks the projection of which a tensor is a part. */
static bool is_dropped(const converting *c, const stored_tensor *stored, unsigned drops) {
    const tensor_names *names = &c->model->kind->names;
    const char *const patterns[] = {names->query, names->key, names->value};
    for (size_t i = 0; i < 3; i++)
        if (drops & 1u << i && (is_layer(stored, patterns[i], ".weight") || is_layer(stored, patterns[i], ".bias")))
            return is_chosen(c, stored);
    return false;
}

static rubato_status enlarge(converting *c, enlarging *e, const added_tensor *wanted, size_t count, unsigned drops,
                             rubato_error *error) {
    size_t stored = 0, kept;
    for (size_t i = 0; i < e->weights.shard_count; i++) stored += e->weights.shards[i].count;
    const size_t most = stored * (1 + count);
    e->tensors = calloc(most, sizeof *e->tensors);
    e->names = calloc(most, sizeof *e->names);
    e->means = calloc(most, sizeof *e->means);
    if (!e->tensors || !e->names || !e->means) return fail_memory(error);
    for (size_t shard = 0; shard < e->weights.shard_count; shard++)
        for (size_t i = 0; i < e->weights.shards[shard].count; i++) {
            const stored_tensor *from = &e->weights.shards[shard].tensors[i];
            if (!is_dropped(c, from, drops)) e->tensors[e->count++] = as_stored(from, from->name);
        }
    kept = e->count;
    for (size_t i = 0; i < count; i++) TRY(add_new(c, e, &wanted[i], error));
    c->added = e->count - kept;
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/model.safetensors", c->staged.path);
    return safetensors_write(path, e->tensors, e->count, NULL, error);
}

static rubato_status add_tensors(converting *c, rubato_error *error) {
    const part_choice *choice = chosen_attention(c);
    added_tensor wanted[MOST_ADDED];
    enlarging e = {.heads = c->model->body.config.heads};
    const attending *mechanism = attending_of(choice);
    if (!c->options->attention) return RUBATO_OK;
    const size_t count = mechanism->added_tensors ? mechanism->added_tensors(choice->setting, wanted) : 0;
    const unsigned drops = mechanism->drops ? mechanism->drops(choice->setting) : 0;
    if (count == 0 && drops == 0) return RUBATO_OK;
    TRY(checkpoint_open(&e.weights, c->staged.path, (file_reading){0}, error));
    rubato_status status = enlarge(c, &e, wanted, count, drops, error);
    for (size_t i = 0; i < e.name_count; i++) free(e.names[i]);
    free(e.names);
    free(e.means);
    free(e.tensors);
    checkpoint_close(&e.weights);
    return status;
}

/* ---- All together ---- */

/* The longest text that a tokenizer's and sentence-transformers' settings name. */
static rubato_status set_longest(const converting *c, const char *name, const char *key, rubato_error *error) {
    char path[PATH_BYTES];
    json_t *root;
    snprintf(path, sizeof path, "%s/%s", c->staged.path, name);
    if (!c->options->positions || !file_exists(path)) return RUBATO_OK;
    TRY(json_read_file(&root, path, MAX_JSON, error));
    rubato_status status = RUBATO_OK;
    if (json_is_number(json_object_get(root, key))) {
        status = json_set(root, key, json_integer((json_int_t)encoder_max_length(&c->model->body.config)), error);
        if (status == RUBATO_OK) status = model_write_json(root, c->staged.path, name, error);
    }
    json_decref(root);
    return status;
}

static rubato_status fill_result(const converting *c, rubato_convert_result **out, rubato_error *error) {
    rubato_model *made;
    TRY(rubato_model_load(&made, c->staged.path, error));
    const char *forward = made->info.feed_forward ? made->info.feed_forward : "";
    char text[320];
    if (made->info.attention)
        snprintf(text, sizeof text, "%s", made->info.attention);
    else
        part_describe(&made->body.config.attention, text, sizeof text);
    rubato_convert_result *result = malloc(sizeof *result + sizeof text + strlen(forward) + 1);
    if (result) {
        char *description = (char *)(result + 1);
        memcpy(description, text, sizeof text);
        memcpy(description + sizeof text, forward, strlen(forward) + 1);
        *result = (rubato_convert_result){.attention = description,
                                          .feed_forward = *forward ? description + sizeof text : NULL,
                                          .positions = made->info.max_length,
                                          .parameters = made->info.parameters,
                                          .added = c->added};
        *out = result;
    }
    rubato_model_destroy(made);
    return result ? RUBATO_OK : fail_memory(error);
}

static rubato_status write_staged(converting *c, storage type, rubato_convert_result **result, rubato_error *error) {
    TRY(model_write(c->model, c->staged.path, type, NULL, error));
    TRY(add_tensors(c, error));
    TRY(set_longest(c, "tokenizer_config.json", "model_max_length", error));
    TRY(set_longest(c, "sentence_bert_config.json", "max_seq_length", error));
    return fill_result(c, result, error);
}

static rubato_status convert(converting *c, rubato_convert_result **result, rubato_error *error) {
    const rubato_convert_options *o = c->options;
    rubato_model *as_it_is;
    storage type;
    if (!o->model || !o->out) return fail(error, RUBATO_BAD_ARGUMENT, "a model and an output folder are needed");
    TRY(model_store_type(o->store, &type, error));
    TRY(output_check(o->out, NULL, o->overwrite, error));
    TRY(rubato_model_describe(&as_it_is, o->model, error));
    rubato_status status = output_check(o->out, as_it_is, o->overwrite, error);
    if (status == RUBATO_OK && o->memory) status = read_memory(&c->feed_forward, o, error);
    if (status == RUBATO_OK && o->memory) status = check_memory(c, as_it_is, error);
    learning learn = {.task = as_it_is->info.task,
                      .as_stored = true,
                      .seed = o->seed,
                      .feed_forward = c->feed_forward,
                      .zero_values = o->zero_values};
    rubato_model_destroy(as_it_is);
    TRY(status);
    TRY(model_load(&c->model, o->model, NULL, &learn, error));
    frontier_free(&c->model->points);
    c->model->points.full = c->model->points.full_ms = c->model->points.full_error = NAN;
    c->model->exits.kind = EXIT_NONE;
    TRY(add_positions(c, error)); /* of the attention that the model has */
    TRY(choose_attention(c, error));
    TRY(staged_open(&c->staged, o->out, error));
    status = write_staged(c, type, result, error);
    if (status == RUBATO_OK)
        status = output_commit_alone(&c->staged, error);
    else
        staged_abandon(&c->staged);
    return status;
}

rubato_status rubato_convert(const rubato_convert_options *options, rubato_convert_result **result,
                             rubato_error *error) {
    rubato_convert_options own;
    converting c = {.options = &own};
    *result = NULL;
    TRY(OPTIONS_COPY(&own, rubato_convert_options, options, error));
    rubato_status status = convert(&c, result, error);
    if (status != RUBATO_OK) {
        free(*result);
        *result = NULL;
    }
    rubato_model_destroy(c.model);
    json_decref(c.feed_forward);
    free(c.positions);
    return status;
}
