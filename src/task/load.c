/* Loading a model: folder, configuration, tokenizer, weights, heads, points. */
#include "task/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"
#include "base/json.h"
#include "base/options.h"
#include "base/text_buffer.h"
#include "store/adapter.h"
#include "store/hub.h"
#include "task/folder.h"
#include "task/load_exits.h"
#include "task/load_family.h"
#include "task/load_sentence.h"

enum { MAX_CONFIG_BYTES = 16 << 20, PATH_BYTES = 4096, MAX_LABELS = 1 << 20, PACKED_BLOCK = 16 << 20 };

/* ---- Warnings ---- */

rubato_status model_warn(rubato_model *self, const char *format, const char *what, rubato_error *error) {
    if (self->info.warning_count == 16) return RUBATO_OK;
    text_buffer text = {0};
    text_add_format(&text, format, what); /* NOLINT: all formats are literals */
    char **grown = realloc(self->warnings, (self->info.warning_count + 1) * sizeof *grown);
    if (grown) self->warnings = grown;
    if (!grown || text.failed) {
        text_free(&text);
        return fail_memory(error);
    }
    grown[self->info.warning_count++] = text.data;
    return RUBATO_OK;
}

typedef struct leftovers {
    size_t count;
    const char *first;
} leftovers;

static void count_unused(void *user, const stored_tensor *left) {
    leftovers *all = user;
    /* position_ids is a constant that old versions wrote; most files without a head have a pooler that nothing uses */
    if (text_ends_with(left->name, "position_ids") || strstr(left->name, "pooler")) return;
    if (all->count++ == 0) all->first = left->name;
}

static rubato_status warn_unused(rubato_model *self, rubato_error *error) {
    leftovers all = {0};
    char what[160];
    checkpoint_unused(&self->weights, count_unused, &all);
    if (all.count == 0) return RUBATO_OK;
    snprintf(what, sizeof what, all.count > 1 ? "\"%.80s\" and %zu more tensors are" : "tensor \"%.80s\" is", all.first,
             all.count - 1);
    return model_warn(self, "%s not used", what, error);
}

/* ---- Heads and labels ---- */

static char *copy_string(const char *text) {
    return text_copy(text, strlen(text));
}

/* The name of a label; numbers and truth values as Python writes them. NULL: no memory. */
static char *label_name(const json_t *value) {
    if (json_is_boolean(value)) return copy_string(json_is_true(value) ? "True" : "False");
    if (json_is_number(value)) return json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    return copy_string(json_string_value(value));
}

static bool is_entailment(const char *label) {
    return strncasecmp(label, "entail", strlen("entail")) == 0;
}

/* 1 + the label that label2id calls entailment, or else id2label; 0: none. */
static size_t find_entailment(const rubato_model *self, const json_t *config) {
    const char *key;
    json_t *value, *map = json_object_get(config, "label2id");
    json_object_foreach(map, key, value) {
        json_int_t id = json_integer_value(value);
        if (is_entailment(key) && json_is_integer(value) && id >= 0 && (size_t)id < self->info.label_count)
            return (size_t)id + 1;
    }
    for (size_t i = 0; i < self->info.label_count; i++)
        if (is_entailment(self->labels[i])) return i + 1;
    return 0;
}

/* id2label: keys are numbers as strings. */
static rubato_status load_labels(rubato_model *self, const json_t *config, rubato_error *error) {
    const json_t *map;
    TRY(json_get_object(&map, config, "id2label", error));
    size_t count = json_object_size(map), said;
    TRY(json_get_size(&said, config, "num_labels", count ? count : 2, error));
    if (!count) count = said;
    if (count != said) /* transformers 4 takes the one, transformers 5 the other */
        return fail(error, RUBATO_UNSUPPORTED, "config.json: num_labels is %zu, and id2label has %zu labels", said,
                    count);
    if (count == 0 || count > MAX_LABELS) return fail(error, RUBATO_BAD_MODEL, "config.json: %zu labels", count);
    self->labels = calloc(count, sizeof *self->labels);
    if (!self->labels) return fail_memory(error);
    self->info.label_count = count;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value) {
        char *end;
        unsigned long id = strtoul(key, &end, 10);
        bool named = json_is_string(value) || json_is_number(value) || json_is_boolean(value);
        if (*end || !*key || id >= count || !named || self->labels[id])
            return fail(error, RUBATO_BAD_MODEL, "config.json: id2label has the entry \"%.40s\" among %zu", key, count);
        self->labels[id] = label_name(value);
        if (!self->labels[id]) return fail_memory(error);
    }
    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "LABEL_%zu", i);
        if (!self->labels[i] && !(self->labels[i] = copy_string(name))) return fail_memory(error);
    }
    self->entailment = find_entailment(self, config);
    return RUBATO_OK;
}

static bool architecture_is(const char *architecture, const char *suffix) {
    return architecture && text_ends_with(architecture, suffix);
}

/* Sets the labels of training instead of the checkpoint's. */
static rubato_status set_labels(rubato_model *self, const char *const *labels, size_t count, rubato_error *error) {
    self->labels = calloc(count, sizeof *self->labels);
    if (!self->labels) return fail_memory(error);
    self->info.label_count = count;
    for (size_t i = 0; i < count; i++)
        if (!(self->labels[i] = copy_string(labels[i]))) return fail_memory(error);
    return RUBATO_OK;
}

/* The head of an architecture; HEAD_COUNT for none. */
static head_kind head_of_architecture(const char *architecture) {
    static const struct {
        const char *end;
        head_kind kind;
    } heads[] = {{"ForSequenceClassification", HEAD_SEQUENCE},
                 {"ForTokenClassification", HEAD_TOKEN},
                 {"ForQuestionAnswering", HEAD_QA},
                 {"ForQuestionAnsweringSimple", HEAD_QA},
                 {"ForMaskedLM", HEAD_MLM},
                 {"LMHeadModel", HEAD_MLM},
                 {"ForCausalLM", HEAD_MLM},
                 {"BertForPreTraining", HEAD_MLM},
                 {"AlbertForPreTraining", HEAD_MLM},
                 {"ForNextSentencePrediction", HEAD_NSP}};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        if (architecture_is(architecture, heads[i].end)) return heads[i].kind;
    return HEAD_COUNT;
}

/* What config.json says the model does: its task and labels; *kind: its head, HEAD_COUNT for none. */
static rubato_status read_task(rubato_model *self, const json_t *config, head_kind *kind, rubato_error *error) {
    const char *architecture = model_architecture(config), *problem;
    TRY(json_get_text(&problem, config, "problem_type", NULL, error));
    static const char *const problems[] = {"regression", "single_label_classification", "multi_label_classification"};
    bool known = !problem;
    for (size_t i = 0; i < 3 && !known; i++) known = strcmp(problem, problems[i]) == 0;
    if (!known) return fail(error, RUBATO_UNSUPPORTED, "config.json: problem_type \"%.40s\"", problem);
    rubato_info *info = &self->info;
    *kind = head_of_architecture(architecture);
    if (*kind == HEAD_COUNT && architecture && !text_ends_with(architecture, "Model") &&
        !architecture_is(architecture, "ForPreTraining"))
        TRY(model_warn(self, "architecture \"%s\" has no head here; embeddings only", architecture, error));
    if (*kind == HEAD_SEQUENCE || *kind == HEAD_TOKEN) TRY(load_labels(self, config, error));
    switch (*kind) {
    case HEAD_SEQUENCE: {
        bool regression = problem ? strcmp(problem, "regression") == 0 : info->label_count == 1;
        info->task = regression ? RUBATO_TASK_REGRESSION : RUBATO_TASK_CLASSIFICATION;
        info->plain_value = problem && regression;
        info->multi_label = problem && strcmp(problem, "multi_label_classification") == 0;
        break;
    }
    case HEAD_TOKEN: info->task = RUBATO_TASK_TAGGING; break;
    case HEAD_QA: info->task = RUBATO_TASK_QA; break;
    case HEAD_NSP: info->task = RUBATO_TASK_NSP; break;
    case HEAD_MLM: info->task = self->body.config.causal ? RUBATO_TASK_LM : RUBATO_TASK_MLM; break;
    default: info->task = RUBATO_TASK_EMBEDDING;
    }
    if (self->body.config.causal && *kind != HEAD_MLM)
        return fail(error, RUBATO_UNSUPPORTED,
                    "%s: a causal model (is_decoder) is run as a language model alone, as %s%s", self->path,
                    self->kind->class_names[0], self->kind->causal_class);
    return RUBATO_OK;
}

static rubato_status load_heads(rubato_model *self, loader *load, const json_t *config, rubato_error *error) {
    head_kind kind;
    TRY(read_task(self, config, &kind, error));
    if (kind == HEAD_COUNT) return RUBATO_OK;
    TRY(head_load(&self->heads[kind], load, self->kind, &self->body, kind, self->info.label_count));
    if (architecture_is(model_architecture(config), "BertForPreTraining"))
        TRY(head_load(&self->heads[HEAD_NSP], load, self->kind, &self->body, HEAD_NSP, 2));
    return RUBATO_OK;
}

/* Loads the head for training: the checkpoint's where it fits, else a new one. */
static rubato_status load_learning_head(rubato_model *self, loader *load, const learning *learn, const json_t *config,
                                        rubato_error *error) {
    static const char *const value[] = {"LABEL_0"};
    rubato_info *info = &self->info;
    head_kind kind = head_of_task(learn->task);
    self->as_stored = learn->as_stored;
    if (self->as_stored) return load_heads(self, load, config, error);
    info->task = learn->task;
    if (learn->discriminates)
        return head_load(&self->heads[HEAD_REPLACED], load, self->kind, &self->body, HEAD_REPLACED, 1);
    if (kind == HEAD_COUNT) return RUBATO_OK;
    if (learn->task == RUBATO_TASK_REGRESSION)
        TRY(set_labels(self, value, 1, error));
    else if (learn->labels)
        TRY(set_labels(self, learn->labels, learn->label_count, error));
    else if (kind == HEAD_SEQUENCE || kind == HEAD_TOKEN)
        TRY(load_labels(self, config, error));
    info->multi_label = learn->several;
    TRY(head_load(&self->heads[kind], load, self->kind, &self->body, kind, info->label_count));
    if (kind == HEAD_MLM && (learn->next_sentence || checkpoint_find(&self->weights, "cls.seq_relationship.weight")))
        TRY(head_load(&self->heads[HEAD_NSP], load, self->kind, &self->body, HEAD_NSP, 2));
    return RUBATO_OK;
}

/* ---- All together ---- */

static const char *find_prefix(const family *kind, const checkpoint *weights) {
    char name[512];
    for (size_t i = 0; i < 4 && kind->prefixes[i]; i++) {
        snprintf(name, sizeof name, "%s%s.weight", kind->prefixes[i], kind->names.word);
        if (checkpoint_find(weights, name)) return kind->prefixes[i];
    }
    return "";
}

/* NULL for the usual mechanism. */
static const char *describe_part(const part_choice *part, char *out, size_t bytes) {
    part_describe(part, out, bytes);
    return part->kind->foreign || part->kind->told ? out : NULL;
}

/* The same of a part of most layers, and of layers with another one, whose numbers follow. */
static const char *describe_others(const encoder_config *config, const part_choice *most, const part_choice *part,
                                   uint64_t layers, char *out, size_t bytes) {
    size_t at = 0;
    if (describe_part(most, out, bytes)) {
        at = strlen(out);
        at += (size_t)snprintf(out + at, bytes - at, "; ");
    }
    part_describe(part, out + at, bytes - at);
    const char *between = ", in layers ";
    for (size_t i = 0; i < config->layers && i < MOST_UNEVEN; i++) {
        if (!(layers >> i & 1)) continue;
        const size_t used = strlen(out);
        snprintf(out + used, bytes - used, "%s%zu", between, i);
        between = ",";
    }
    return out;
}

/* The widths of layers that differ. */
static void note_widths(const encoder_config *config, rubato_info *info) {
    info->least_heads = info->most_heads = config_widths(config, 0).heads;
    info->least_inner = info->most_inner = config_widths(config, 0).inner;
    for (size_t i = 1; config->uneven && i < config->layers; i++) {
        const layer_widths own = config->widths[i];
        info->least_heads = size_min(info->least_heads, own.heads);
        info->most_heads = size_max(info->most_heads, own.heads);
        info->least_inner = size_min(info->least_inner, own.inner);
        info->most_inner = size_max(info->most_inner, own.inner);
    }
}

static rubato_status fill_info(rubato_model *self, rubato_error *error) {
    size_t points = self->points.count;
    char pooling_text[96];
    pooling_name(&self->pool, pooling_text, sizeof pooling_text);
    self->pooling_text = copy_string(pooling_text);
    self->shown = calloc(points ? points : 1, sizeof *self->shown);
    if (!self->pooling_text || !self->shown) return fail_memory(error);
    const char *low = points ? strchr(self->info.precision, '+') : NULL; /* "f32+int8" */
    for (size_t i = 0; i < points; i++) {
        const point *p = &self->points.points[i];
        self->shown[i] = (rubato_point){.name = p->name,
                                        .quality = p->quality,
                                        .flops_ratio = p->flops_ratio,
                                        .ms = p->ms,
                                        .layers = point_depth(p),
                                        .keep = p->keep,
                                        .quality_error = p->quality_error,
                                        .flops_error = p->flops_error,
                                        .exits = p->exit.rule != NULL,
                                        .precision = p->low && low ? low + 1 : NULL};
    }
    rubato_info *info = &self->info;
    const encoder_config *config = &self->body.config;
    info->path = self->path;
    info->family = config->family;
    info->attention =
        config->other_attention_layers
            ? describe_others(config, &config->attention, &config->other_attention, config->other_attention_layers,
                              self->attention_text, sizeof self->attention_text)
            : describe_part(&config->attention, self->attention_text, sizeof self->attention_text);
    info->feed_forward = config->other_layers
                             ? describe_others(config, &config->feeding, &config->other_feeding, config->other_layers,
                                               self->feeding_text, sizeof self->feeding_text)
                             : describe_part(&config->feeding, self->feeding_text, sizeof self->feeding_text);
    info->layers = self->body.depth;
    info->hidden = config->hidden;
    info->heads = config->heads;
    info->inner = config->inner;
    note_widths(config, info);
    info->vocabulary = config->vocabulary;
    info->labels = (const char *const *)self->labels;
    info->prompt_names = (const char *const *)self->prompt_names;
    info->prompts = (const char *const *)self->prompts;
    info->warnings = (const char *const *)self->warnings;
    info->width = self->pool.width;
    info->pooling = self->pooling_text;
    info->ranks =
        info->task == RUBATO_TASK_EMBEDDING || (head_of_task(info->task) == HEAD_SEQUENCE && info->label_count == 1);
    info->rank_sigmoid = self->rerank_act == ACTIVATION_SIGMOID;
    info->default_prompt = self->default_prompt;
    info->metric = self->points.metric;
    info->full_quality = self->points.full;
    info->full_quality_error = self->points.full_error;
    info->held_out = self->points.held_out;
    info->normalized = self->pool.stage_count && self->pool.stages[self->pool.stage_count - 1].kind == STAGE_NORMALIZE;
    return RUBATO_OK;
}

static bool fits_blocks(const point *at, const encoder_shape *shape) {
    for (size_t i = 0; i < at->layers; i++)
        if (at->keep[i] < 1 || at->merge[i] || (at->skip[i] && point_merges(NULL, shape, i))) return false;
    return !at->exit.rule;
}

/* Loads the operating points of rubato.json: low-precision points only for a model in two precisions, points with exits
 * only for a model with exits. */
static rubato_status load_points(rubato_model *self, const json_t *object, rubato_error *error) {
    TRY(frontier_read(&self->points, object, self->body.depth, error));
    for (size_t i = 0; i < self->points.count; i++)
        if (self->body.shape.merges && !fits_blocks(&self->points.points[i], &self->body.shape))
            return fail(
                error, RUBATO_UNSUPPORTED,
                "rubato.json: point \"%s\" is not for a model whose rows merge by themselves: layers between may "
                "be left out, no more",
                self->points.points[i].name);
    if (!encoder_has_both(&self->body)) frontier_widen(&self->points);
    for (size_t i = 0; i < self->points.count; i++) {
        const point *at = &self->points.points[i];
        char name[POINT_NAME + 32];
        snprintf(name, sizeof name, "rubato.json: point \"%s\"", at->name);
        rubato_status status = encoder_check(&self->body, &(thinning){.point = at, .by = self->points.by}, error);
        if (status != RUBATO_OK) return fail_within(error, status, name);
    }
    bool narrow = false;
    for (size_t i = 0; i < self->points.count; i++) narrow = narrow || point_is_narrow(&self->points.points[i]);
    if (narrow) TRY(encoder_allow_narrow(&self->body, &self->packed, error));
    for (size_t i = 0; i < self->points.count; i++)
        if (self->points.points[i].exit.by_token && self->exits.kind != EXIT_NONE && !self->exits.by_row)
            return fail(error, RUBATO_BAD_MODEL,
                        "rubato.json: in point \"%s\" tokens leave, and the model is no tagger",
                        self->points.points[i].name);
    for (size_t i = 0; i < self->points.count; i++)
        if (self->points.points[i].exit.rule && self->exits.kind == EXIT_NONE && !self->bound.count)
            return fail(error, RUBATO_BAD_MODEL, "rubato.json: point \"%s\" leaves early, and there are no exits",
                        self->points.points[i].name);
    return RUBATO_OK;
}

/* Whether the heads see all rows again: a Funnel-Transformer's heads for every token, and its embeddings where it has a
 * decoder. The others see the rows at its end. */
static bool needs_decoder(const loader *load, const family *kind, const json_t *config, const learning *learn) {
    const char *architecture = model_architecture(config);
    char first[PATH_BYTES], name[PATH_BYTES + 16];
    bool sequence = learn ? learn->task == RUBATO_TASK_CLASSIFICATION || learn->task == RUBATO_TASK_REGRESSION
                          : architecture_is(architecture, "ForSequenceClassification");
    bool whole = learn ? learn->task != RUBATO_TASK_EMBEDDING : architecture && strstr(architecture, "For") != NULL;
    if (sequence || whole) return !sequence;
    loader_name(first, sizeof first, load->prefix, kind->decoder->query, 0, 0);
    snprintf(name, sizeof name, "%s.weight", first);
    return checkpoint_find(load->weights, name) != NULL;
}

static rubato_status take_layers(encoder_config *config, const learning *learn, rubato_error *error) {
    if (config->groups) return fail(error, RUBATO_UNSUPPORTED, "layers that share their weights cannot be taken out");
    if (config->blocks) return fail(error, RUBATO_UNSUPPORTED, "layers that stand in blocks cannot be taken out");
    if (config->layers == 0) return fail(error, RUBATO_BAD_ARGUMENT, "the model has no layers");
    for (size_t i = 0; i < learn->layer_count; i++)
        if (learn->layers[i] >= config->layers)
            return fail(error, RUBATO_BAD_ARGUMENT, "layer %zu: the model's layers are 0 to %zu", learn->layers[i],
                        config->layers - 1);
    for (size_t i = 1; config->pre_norm && !config->first_norm && i < learn->layer_count; i++)
        if (learn->layers[i] == 0)
            return fail(error, RUBATO_UNSUPPORTED, "layer 0 reads the embeddings and can stand only first");
    if ((config->uneven || config->other_layers || config->other_attention_layers) && learn->layer_count > MOST_UNEVEN)
        return fail(error, RUBATO_UNSUPPORTED, "more than %d layers that differ", MOST_UNEVEN);
    const encoder_config whole = *config;
    for (size_t i = 0; whole.uneven && i < learn->layer_count; i++) config->widths[i] = whole.widths[learn->layers[i]];
    config->other_layers = config->other_attention_layers = 0;
    for (size_t i = 0; i < learn->layer_count; i++) {
        const size_t from = size_min(learn->layers[i], MOST_UNEVEN - 1), to = size_min(i, MOST_UNEVEN - 1);
        config->other_layers |= (whole.other_layers >> from & 1) << to;
        config->other_attention_layers |= (whole.other_attention_layers >> from & 1) << to;
    }
    config->layers = learn->layer_count;
    return RUBATO_OK;
}

/* What a folder's files say before any weight is read. */
typedef struct description {
    json_t *notes, *modules, *config; /* rubato.json, modules.json; NULL: there is none */
    adapter added;                    /* to the weights */
    const family *kind;
    encoder_config settings;
} description;

/* What an adapter says over its base's config.json: the head, and by the head's weight the number of labels. */
static rubato_status adapt_config(const adapter *added, const family *kind, json_t *config, rubato_error *error) {
    if (added->architecture) TRY(json_set(config, "architectures", json_pack("[s]", added->architecture), error));
    head_kind wanted = head_of_architecture(model_architecture(config));
    if (wanted != HEAD_SEQUENCE && wanted != HEAD_TOKEN) return RUBATO_OK;
    const char *name = head_out_name(kind, wanted);
    size_t labels = name ? adapter_rows(added, name) : 0;
    if (!labels || labels == json_object_size(json_object_get(config, "id2label"))) return RUBATO_OK;
    json_object_del(config, "id2label");
    return json_set(config, "num_labels", json_integer((json_int_t)labels), error);
}

/* A file of that name that says something else is another program's. */
static rubato_status warn_unfinished(rubato_model *self, rubato_error *error) {
    json_t *record;
    rubato_status status = model_read_optional(&record, self->path, TRAINING_RECORD, NULL);
    bool unfinished = status == RUBATO_OK && json_is_false(json_object_get(record, TRAINING_ENDED));
    json_decref(record);
    if (status == RUBATO_OUT_OF_MEMORY) return fail_memory(error);
    return unfinished ? model_warn(self, "the training in this folder has not ended (%s)", TRAINING_RECORD, error)
                      : RUBATO_OK;
}

/* The configuration of a model that begins may leave out what its tokenizer says. */
static rubato_status complete_config(const rubato_model *self, json_t *config, rubato_error *error) {
    if (!json_object_get(config, "vocab_size"))
        TRY(json_set(config, "vocab_size", json_integer((json_int_t)self->text->vocabulary), error));
    if (json_object_get(config, "pad_token_id") || self->text->pad < 0) return RUBATO_OK;
    return json_set(config, "pad_token_id", json_integer(self->text->pad), error);
}

/* How a model is to be loaded. */
typedef struct loading {
    model_precision precision;
    const learning *learn;
    file_reading how;
    bool hash;     /* weights.hash is wanted */
    bool describe; /* without its weights */
} loading;

/* Reads the configuration and the tokenizer. */
static rubato_status read_folder(rubato_model *self, description *of, const loading *wanted, rubato_error *error) {
    const file_reading how = wanted->how;
    char folder[PATH_BYTES], path[PATH_BYTES + 32];
    TRY(model_read_optional(&of->notes, self->path, "rubato.json", error));
    TRY(model_read_optional(&of->modules, self->path, "modules.json", error));
    model_encoder_folder(folder, sizeof folder, self->path, of->modules);
    if (!(self->folder = copy_string(folder))) return fail_memory(error);
    TRY(adapter_open(&of->added, folder, how, error));
    if (of->added.config) TRY(model_base_folder(folder, sizeof folder, self->folder, of->added.base, error));
    if (!(self->base = copy_string(folder))) return fail_memory(error);
    snprintf(path, sizeof path, "%s/config.json", self->base);
    if (!self->config_path && !(self->config_path = copy_string(path))) return fail_memory(error);
    TRY(json_read_file(&of->config, self->config_path, MAX_CONFIG_BYTES, error));
    if (!json_is_object(of->config)) return fail(error, RUBATO_BAD_MODEL, "%s: not an object", self->config_path);
    TRY(model_find_family(self, of->config, how, error));
    of->kind = self->kind;
    if (of->added.config) TRY(adapt_config(&of->added, of->kind, of->config, error));
    TRY(tokenizer_load(&self->text, model_tokenizer_folder(self->folder, self->base), error));
    if (self->untrained) TRY(complete_config(self, of->config, error));
    const json_t *feed_forward = wanted->learn ? wanted->learn->feed_forward : NULL;
    if (json_is_null(feed_forward)) json_object_del(of->config, feeding_table.key);
    if (json_is_object(feed_forward)) TRY(json_set(of->config, feeding_table.key, json_deep_copy(feed_forward), error));
    if (wanted->learn && wanted->learn->attended_head)
        TRY(json_set(of->config, HEAD_POOLING_KEY, json_string("attention"), error));
    TRY(config_parse(&of->settings, of->kind, of->config, error));
    self->info.max_length = size_min(encoder_max_length(&of->settings), self->text->max_length);
    self->info.cut_left = self->text->cut_left;
    self->pool = (pooling){.modes = {{POOL_MEAN}, 1}, .width = config_width(&of->settings)};
    return RUBATO_OK;
}

static rubato_status warn_vocabulary(rubato_model *self, rubato_error *error) {
    return self->text->vocabulary > self->body.config.vocabulary
               ? model_warn(self, "the tokenizer knows more tokens than the model's %s", "vocabulary", error)
               : RUBATO_OK;
}

static void release(void *user, const stored_tensor *left) {
    checkpoint_release(user, left->name);
}

/* transformers' initializer_range. */
static rubato_status read_deviation(double *out, const json_t *config, rubato_error *error) {
    TRY(json_get_real(out, config, "initializer_range", 0.02, error));
    if (*out > 0 && *out < 10) return RUBATO_OK;
    return fail(error, RUBATO_BAD_MODEL, "config.json: initializer_range is %g", *out);
}

/* A model that learns the next token becomes causal, if it is not, and learns no other task. */
static rubato_status decide_causal(encoder_config *settings, const family *kind, rubato_task task,
                                   rubato_error *error) {
    if (settings->causal && task != RUBATO_TASK_LM)
        return fail(error, RUBATO_WRONG_TASK, "a causal model (is_decoder) learns the next token alone: --task lm");
    if (settings->causal || task != RUBATO_TASK_LM) return RUBATO_OK;
    settings->causal = true;
    return config_check_causal(settings, kind, error);
}

static rubato_status load_weights(rubato_model *self, description *of, const loading *wanted, team *crew,
                                  rubato_error *error) {
    const learning *learn = wanted->learn;
    model_precision in = wanted->precision;
    /* points in low precision need the model in two precisions, unless the caller asked for another */
    const char *low = frontier_low(of->notes);
    if (in.precision == PRECISION_STORED && low && !learn) {
        TRY(precision_find(&in.precision, low, error));
        in.both = true;
    }
    uint64_t seed = learn ? learn->seed : 0;
    if (learn && learn->layers) TRY(take_layers(&of->settings, learn, error));
    if (!self->untrained) TRY(checkpoint_open(&self->weights, self->base, wanted->how, error));
    self->prefix = find_prefix(of->kind, &self->weights);
    if (of->added.config) TRY(adapter_merge(&of->added, &self->weights, of->kind->prefixes, self->prefix, error));
    if (wanted->hash) checkpoint_hash(&self->weights);
    loader load = {.weights = &self->weights,
                   .prefix = self->prefix,
                   .with = {.memory = &self->packed, .crew = crew, .kernels = kernel_table_named("untiled")},
                   .error = error,
                   .bound = learn ? &self->bound : NULL,
                   .fresh = learn ? &seed : NULL,
                   .new_memory = learn && json_is_object(learn->feed_forward) ? &seed : NULL,
                   .zero_values = learn && learn->zero_values,
                   .new_head = learn && learn->new_head,
                   .new_all = self->untrained};
    if (self->untrained) TRY(read_deviation(&load.with.deviation, of->config, error));
    if (learn && !learn->as_stored) TRY(decide_causal(&of->settings, of->kind, learn->task, error));
    encoder_plan plan = {.kind = of->kind,
                         .config = &of->settings,
                         .precision = in.precision,
                         .each = in.each,
                         .both = in.both,
                         .smooth = in.smooth,
                         .layers = learn ? learn->layers : NULL};
    plan.decoder = of->settings.blocks && needs_decoder(&load, of->kind, of->config, learn);
    TRY(encoder_load(&self->body, &load, &plan));
    if (learn)
        TRY(load_learning_head(self, &load, learn, of->config, error));
    else
        TRY(load_heads(self, &load, of->config, error));
    /* the parts that belong to layers by their numbers */
    bool whole = !learn || !learn->layers;
    if (whole && !load.new_head) TRY(model_load_exits(self, of->notes, learn ? &self->bound : NULL, error));
    if (whole) TRY(load_points(self, of->notes, error));
    self->info.parameters = load.parameters;
    self->info.precision = encoder_precision(&self->body);
    self->info.sparse_products = encoder_sparse(&self->body, &self->info.products);
    TRY(model_load_sentence(self, &load, of->modules, self->folder, of->config, error));
    if (learn) return RUBATO_OK;
    TRY(warn_unused(self, error));
    if (wanted->how.in_memory) checkpoint_unused(&self->weights, release, &self->weights);
    return RUBATO_OK;
}

static rubato_status describe(rubato_model *self, const description *of, rubato_error *error) {
    head_kind kind;
    self->body.config = of->settings;
    self->body.depth = of->settings.layers * (of->settings.groups ? of->settings.inner_layers : 1);
    TRY(read_task(self, of->config, &kind, error));
    return model_load_sentence(self, NULL, of->modules, self->folder, of->config, error);
}

static rubato_status load_folder(rubato_model *self, const loading *wanted, team *crew, rubato_error *error) {
    description of = {0};
    rubato_status status;
    TRY_DONE(read_folder(self, &of, wanted, error));
    if (wanted->describe)
        TRY_DONE(describe(self, &of, error));
    else
        TRY_DONE(load_weights(self, &of, wanted, crew, error));
    TRY_DONE(warn_vocabulary(self, error));
    TRY_DONE(warn_unfinished(self, error));
    TRY_DONE(fill_info(self, error));
done:
    adapter_close(&of.added);
    json_decref(of.modules);
    json_decref(of.config);
    json_decref(of.notes);
    if (status == RUBATO_BAD_DATA) status = RUBATO_BAD_MODEL;
    if (status != RUBATO_OK && error && status != RUBATO_OUT_OF_MEMORY &&
        strncmp(error->message, self->path, strlen(self->path)) != 0)
        fail_within(error, status, self->path);
    return status;
}

rubato_status precision_find(precision *out, const char *name, rubato_error *error) {
    *out = PRECISION_STORED;
    if (!name || precision_named(out, name)) return RUBATO_OK;
    return fail(error, RUBATO_BAD_ARGUMENT, "precision \"%.40s\": use f32, bf16 or int8", name);
}

/* Finds where a model that may begin without weights has its files: a config.json, or a folder with one. *config is
 * NULL for a model that has weights. */
static rubato_status find_beginning(const char *name, const learning *learn, char folder[PATH_BYTES], char **config,
                                    rubato_error *error) {
    char path[PATH_BYTES + 32];
    const bool file = file_exists(name);
    snprintf(path, sizeof path, "%s%s", name, file ? "" : "/config.json");
    if (!file && (!file_exists(path) || checkpoint_is_there(name))) {
        if (learn->tokenizer)
            return fail(error, RUBATO_BAD_ARGUMENT, "%.200s has weights, and a tokenizer with them", name);
        return hub_resolve(folder, PATH_BYTES, name, error);
    }
    if (file && !learn->tokenizer)
        return fail(error, RUBATO_BAD_ARGUMENT, "%.200s has no tokenizer; --tokenizer names a folder with one", name);
    if (!(*config = copy_string(path))) return fail_memory(error);
    /* a tokenizer's folder needs no config.json */
    const char *from = learn->tokenizer ? learn->tokenizer : name;
    if (!folder_exists(from)) return hub_resolve(folder, PATH_BYTES, from, error);
    snprintf(folder, PATH_BYTES, "%s", from);
    return RUBATO_OK;
}

static rubato_status load_named(rubato_model **out, const char *name, const loading *wanted, rubato_error *error) {
    *out = NULL;
    char folder[PATH_BYTES], *config = NULL;
    if (wanted->learn && wanted->learn->may_begin)
        TRY(find_beginning(name, wanted->learn, folder, &config, error));
    else
        TRY(hub_resolve(folder, sizeof folder, name, error));
    rubato_model *self = calloc(1, sizeof *self);
    if (!self) {
        free(config);
        return fail_memory(error);
    }
    self->config_path = config;
    self->untrained = config != NULL;
    arena_create(&self->packed, 0, PACKED_BLOCK);
    self->points.full = self->points.full_error = NAN;
    team *crew = NULL;
    rubato_status status = wanted->describe ? RUBATO_OK : team_create(&crew, threads_available(), error);
    if (status == RUBATO_OK && !(self->path = copy_string(folder))) status = fail_memory(error);
    if (status == RUBATO_OK) status = load_folder(self, wanted, crew, error);
    team_destroy(crew);
    if (status != RUBATO_OK) {
        rubato_model_destroy(self);
        return status;
    }
    *out = self;
    return RUBATO_OK;
}

rubato_status rubato_model_load(rubato_model **out, const char *name, rubato_error *error) {
    return rubato_model_load_with(out, name, NULL, error);
}

rubato_status rubato_model_load_with(rubato_model **out, const char *name, const rubato_load_options *options,
                                     rubato_error *error) {
    *out = NULL;
    rubato_load_options own;
    TRY(OPTIONS_COPY(&own, rubato_load_options, options, error));
    loading wanted = {.how = {.in_memory = own.in_memory, .cancelled = own.cancelled, .user = own.cancelled_user}};
    model_precision *in = &wanted.precision;
    in->both = own.precision && strncmp(own.precision, "f32+", 4) == 0;
    TRY(precision_find(&in->precision, in->both ? own.precision + 4 : own.precision, error));
    if (in->both && in->precision == PRECISION_F32)
        return fail(error, RUBATO_BAD_ARGUMENT, "precision \"%.40s\": use f32+int8 or f32+bf16", own.precision);
    return load_named(out, name, &wanted, error);
}

rubato_status model_load(rubato_model **out, const char *name, const model_precision *wanted, const learning *learn,
                         rubato_error *error) {
    /* training takes hours, in which somebody may write to the folder; but a layer that is taken twice is read twice */
    bool in_memory = learn && !learn->layers;
    loading as = {.precision = {.precision = PRECISION_F32},
                  .learn = learn,
                  .how = {.in_memory = in_memory},
                  .hash = learn && !learn->as_stored};
    if (wanted) as.precision = *wanted;
    return load_named(out, name, &as, error);
}

rubato_status model_load_teacher(rubato_model **out, const char *name, rubato_error *error) {
    return load_named(out, name, &(loading){.how = {.in_memory = true}, .hash = true}, error);
}

rubato_status rubato_model_describe(rubato_model **out, const char *name, rubato_error *error) {
    return load_named(out, name, &(loading){.describe = true}, error);
}

static void free_strings(char **strings, size_t count) {
    for (size_t i = 0; strings && i < count; i++) free(strings[i]);
    free(strings);
}

void rubato_model_destroy(rubato_model *self) {
    if (!self) return;
    free_strings(self->labels, self->info.label_count);
    free_strings(self->prompts, self->info.prompt_count);
    free_strings(self->prompt_names, self->info.prompt_count);
    free_strings(self->warnings, self->info.warning_count);
    frontier_free(&self->points);
    bindings_free(&self->bound);
    free(self->folder);
    free(self->base);
    free(self->config_path);
    free(self->pooling_text);
    free(self->shown);
    encoder_free(&self->body);
    arena_destroy(&self->packed);
    tokenizer_destroy(self->text);
    checkpoint_close(&self->weights);
    free(self->path);
    free(self);
}
