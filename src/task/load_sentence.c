/* The files that sentence-transformers stores beside an encoder: modules after it, lengths, prompts, the activation of
 * a score. */
#include "task/load_sentence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "base/text_buffer.h"
#include "task/folder.h"

enum { PATH_BYTES = 4096 };

/* The older flag and the newer name of each mode. */
static const struct {
    const char *flag, *name;
} mode_keys[POOL_COUNT] = {[POOL_CLS] = {"pooling_mode_cls_token", "cls"},
                           [POOL_MAX] = {"pooling_mode_max_tokens", "max"},
                           [POOL_MEAN] = {"pooling_mode_mean_tokens", "mean"},
                           [POOL_MEAN_SQRT] = {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"},
                           [POOL_WEIGHTED_MEAN] = {"pooling_mode_weightedmean_tokens", "weightedmean"},
                           [POOL_LAST] = {"pooling_mode_lasttoken", "lasttoken"}};

/* "pooling_mode": a name, or a list of names in the order of concatenation. */
static rubato_status read_named_modes(rubato_model *self, const json_t *named, const char *folder,
                                      rubato_error *error) {
    pooling_modes *modes = &self->pool.modes;
    size_t count = json_is_array(named) ? json_array_size(named) : 1;
    if (count > MOST_MODES)
        return fail(error, RUBATO_UNSUPPORTED, "%s: pooling_mode has more than %d modes", folder, MOST_MODES);
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_is_array(named) ? json_array_get(named, i) : named);
        size_t mode = 0;
        while (name && mode < POOL_COUNT && strcmp(name, mode_keys[mode].name) != 0) mode++;
        if (!name || mode == POOL_COUNT)
            return fail(error, RUBATO_UNSUPPORTED, "%s: pooling_mode \"%.40s\"", folder, name ? name : "(no name)");
        modes->list[modes->count++] = (pooling_mode)mode;
    }
    return RUBATO_OK;
}

static rubato_status load_pooling_modes(rubato_model *self, const char *folder, rubato_error *error) {
    json_t *config;
    TRY(model_read_optional(&config, folder, "config.json", error));
    if (!config)
        return fail(error, RUBATO_NOT_FOUND, "%s/config.json is missing; it says how rows become a vector", folder);
    const json_t *named = json_object_get(config, "pooling_mode");
    pooling_modes *modes = &self->pool.modes;
    modes->count = 0;
    bool include_prompt = true;
    rubato_status status = json_get_bool(&include_prompt, config, "include_prompt", true, error);
    for (size_t i = 0; i < POOL_COUNT && status == RUBATO_OK && !named; i++) {
        bool on;
        status = json_get_bool(&on, config, mode_keys[i].flag, false, error);
        if (on) modes->list[modes->count++] = (pooling_mode)i;
    }
    if (!named && modes->count == 0) modes->list[modes->count++] = POOL_MEAN;
    if (named && status == RUBATO_OK) status = read_named_modes(self, named, folder, error);
    self->pool.skip_prompt = !include_prompt;
    if (status == RUBATO_OK && !modes->count)
        status = fail(error, RUBATO_UNSUPPORTED, "%s: pooling_mode is empty", folder);
    json_decref(config);
    return status;
}

static rubato_status load_stage_weights(rubato_model *self, loader *load, const char *folder, const json_t *config,
                                        pooling_stage *stage, size_t width, rubato_error *error) {
    checkpoint weights;
    TRY(checkpoint_open(&weights, folder, load->weights->how, error));
    loader own = *load;
    own.weights = &weights;
    own.bound = NULL;
    own.fresh = NULL;
    rubato_status status;
    if (stage->kind == STAGE_DENSE) {
        const char *names[] = {"linear"}, *beside[] = {"residual"}, *act;
        TRY_DONE(loader_linear(&own, &stage->dense, names, 1, 0, width));
        TRY_DONE(json_get_bool(&stage->residual, config, "use_residual", false, error));
        if (stage->residual && stage->dense.out != width)
            TRY_DONE(loader_linear(&own, &stage->beside, beside, 1, stage->dense.out, width));
        TRY_DONE(json_get_text(&act, config, "activation_function", "torch.nn.modules.activation.Tanh", error));
        TRY_DONE(activation_find_class(&stage->act, "activation_function", act, error));
    } else {
        status = loader_norm(&own, &stage->norm, "norm", width, 1e-5f);
    }
    self->info.parameters += own.parameters - load->parameters;
done:
    checkpoint_close(&weights);
    return status;
}

/* Modules hand on the vector of the text. A module that reads or writes something else is refused. */
static rubato_status check_flow(const json_t *config, const char *folder, rubato_error *error) {
    static const char *const keys[] = {"module_input_name", "module_output_name"};
    for (size_t i = 0; i < 2; i++) {
        const char *name;
        TRY(json_get_text(&name, config, keys[i], NULL, error));
        if (name && strcmp(name, "sentence_embedding") != 0)
            return fail(error, RUBATO_UNSUPPORTED, "%s: %s \"%.60s\"", folder, keys[i], name);
    }
    return RUBATO_OK;
}

/* A new stage at the end, all zero; NULL: there are too many (UNSUPPORTED). */
static pooling_stage *add_stage(pooling *pool, rubato_error *error) {
    if (pool->stage_count == MAX_STAGES) {
        fail(error, RUBATO_UNSUPPORTED, "modules.json: more than %d stages", MAX_STAGES);
        return NULL;
    }
    pooling_stage *made = &pool->stages[pool->stage_count++];
    *made = (pooling_stage){0};
    return made;
}

static rubato_status load_module(rubato_model *self, loader *load, const char *type, const char *folder,
                                 rubato_error *error) {
    pooling *pool = &self->pool;
    if (text_ends_with(type, ".Transformer") || text_ends_with(type, ".Dropout")) return RUBATO_OK;
    if (text_ends_with(type, ".Pooling")) {
        TRY(load_pooling_modes(self, folder, error));
        pool->width = config_width(&self->body.config) * pool->modes.count;
        return RUBATO_OK;
    }
    pooling_stage *stage = add_stage(pool, error);
    if (!stage) return RUBATO_UNSUPPORTED;
    json_t *config;
    TRY(model_read_optional(&config, folder, "config.json", error));
    rubato_status status;
    TRY_DONE(check_flow(config, folder, error));
    if (text_ends_with(type, ".Normalize")) {
        stage->kind = STAGE_NORMALIZE;
    } else if (text_ends_with(type, ".Dense") || text_ends_with(type, ".LayerNorm")) {
        stage->kind = text_ends_with(type, ".Dense") ? STAGE_DENSE : STAGE_LAYER_NORM;
        if (load) status = load_stage_weights(self, load, folder, config, stage, pool->width, error);
        if (status == RUBATO_OK && stage->kind == STAGE_DENSE) {
            if (load)
                pool->width = stage->dense.out;
            else
                status = json_get_size(&pool->width, config, "out_features", pool->width, error);
        }
    } else {
        status = fail(error, RUBATO_UNSUPPORTED, "modules.json: module type \"%.80s\"", type);
    }
done:
    json_decref(config);
    return status;
}

/* modules.json: the modules after the encoder, in order. */
static rubato_status load_modules(rubato_model *self, loader *load, const json_t *modules, rubato_error *error) {
    for (size_t i = 0; i < json_array_size(modules); i++) {
        const json_t *item = json_array_get(modules, i);
        const char *type = json_string_value(json_object_get(item, "type"));
        const char *path = json_string_value(json_object_get(item, "path"));
        char folder[PATH_BYTES];
        if (!type || !path || strstr(path, "..") || path[0] == '/')
            return fail(error, RUBATO_BAD_MODEL, "modules.json: entry %zu needs a type and a plain path", i);
        if ((size_t)snprintf(folder, sizeof folder, "%s/%s", self->path, path) >= sizeof folder)
            return fail(error, RUBATO_BAD_MODEL, "modules.json: path too long");
        TRY(load_module(self, load, type, folder, error));
    }
    return RUBATO_OK;
}

/* The module that runs the encoder hands on its rows, or a classifier's scores; nothing else is made here. */
static rubato_status check_encoder_module(const json_t *settings, rubato_error *error) {
    static const json_refusal refused[] = {
        {"processing_kwargs", "it would change how texts become tokens"},
        {"query_length", "queries and documents are cut alike, at max_seq_length"},
        {"document_length", "queries and documents are cut alike, at max_seq_length"},
        {"query_expansion", "it belongs to models of several vectors for each text"},
        {"tokenizer_name_or_path", "put the tokenizer's files into the folder"},
        {"tokenizer_args", "put its keys into tokenizer_config.json"},
        {"processor_kwargs", "put its keys into tokenizer_config.json"},
        {"config_args", "put its keys into config.json"},
        {"config_kwargs", "put its keys into config.json"},
        {NULL, NULL}};
    static const struct {
        const char *key, *values[3];
    } known[] = {{"transformer_task", {"feature-extraction", "sequence-classification"}},
                 {"module_output_name", {"token_embeddings", "scores"}},
                 {"method", {"forward"}},
                 {"method_output_name", {"last_hidden_state", "logits"}}};
    const json_t *modalities, *text;
    TRY(json_refuse(settings, refused, error));
    TRY(json_get_object(&modalities, settings, "modality_config", error));
    TRY(json_get_object(&text, modalities, "text", error));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const char *value;
        TRY(json_get_text(&value, i < 2 ? settings : text, known[i].key, NULL, error));
        bool good = !value;
        for (size_t k = 0; known[i].values[k] && !good; k++) good = strcmp(value, known[i].values[k]) == 0;
        if (!good) return fail(error, RUBATO_UNSUPPORTED, "\"%s\" is \"%.60s\"", known[i].key, value);
    }
    return RUBATO_OK;
}

static rubato_status load_sentence_settings(rubato_model *self, const char *folder, rubato_error *error) {
    static const char *const names[] = {"sentence_bert_config.json",        "sentence_roberta_config.json",
                                        "sentence_distilbert_config.json",  "sentence_albert_config.json",
                                        "sentence_xlm-roberta_config.json", "sentence_camembert_config.json"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        json_t *config;
        TRY(model_read_optional(&config, folder, names[i], error));
        if (!config) continue;
        size_t most = 0;
        rubato_status status = check_encoder_module(config, error);
        if (status != RUBATO_OK) fail_within(error, status, names[i]);
        if (status == RUBATO_OK) status = json_get_size(&most, config, "max_seq_length", 0, error);
        if (status == RUBATO_OK) status = json_get_bool(&self->lowercase, config, "do_lower_case", false, error);
        if (most) self->info.max_length = size_min(most, encoder_max_length(&self->body.config));
        json_decref(config);
        return status;
    }
    return RUBATO_OK;
}

/* config_sentence_transformers.json: prompts. */
static rubato_status load_prompts(rubato_model *self, const json_t *config, rubato_error *error) {
    const json_t *prompts;
    const char *first, *key;
    TRY(json_get_object(&prompts, config, "prompts", error));
    TRY(json_get_text(&first, config, "default_prompt_name", NULL, error));
    size_t count = json_object_size(prompts);
    self->prompts = calloc(size_max(count, 1), sizeof *self->prompts);
    self->prompt_names = calloc(size_max(count, 1), sizeof *self->prompt_names);
    if (!self->prompts || !self->prompt_names) return fail_memory(error);
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)prompts, key, value) {
        const char *text = json_string_value(value);
        size_t at = self->info.prompt_count;
        if (!text) continue;
        self->prompt_names[at] = text_copy(key, strlen(key));
        self->prompts[at] = text_copy(text, strlen(text));
        self->info.prompt_count++;
        if (!self->prompt_names[at] || !self->prompts[at]) return fail_memory(error);
        if (first && strcmp(first, key) == 0) self->default_prompt = self->prompts[at];
    }
    return RUBATO_OK;
}

/* A sentence encoder's vectors may be cut. Training sees them whole. */
static rubato_status load_truncation(rubato_model *self, const loader *load, const json_t *config,
                                     rubato_error *error) {
    size_t columns;
    pooling *pool = &self->pool;
    TRY(json_get_size(&columns, config, "truncate_dim", 0, error));
    if (columns == 0 || columns >= pool->width || (load && load->bound)) return RUBATO_OK;
    pooling_stage *stage = add_stage(pool, error);
    if (!stage) return RUBATO_UNSUPPORTED;
    *stage = (pooling_stage){.kind = STAGE_TRUNCATE, .columns = columns};
    pool->width = columns;
    return RUBATO_OK;
}

/* The activation of a cross-encoder's score: sentence-transformers 6 names it beside the prompts, 4 and 5 within
 * config.json, earlier ones there under another key; a sigmoid for one label unless it is named. */
static rubato_status load_rerank_activation(rubato_model *self, const json_t *settings, const json_t *config,
                                            rubato_error *error) {
    const json_t *within;
    const char *act, *older, *oldest;
    TRY(json_get_text(&act, settings, "activation_fn", NULL, error));
    TRY(json_get_object(&within, config, "sentence_transformers", error));
    TRY(json_get_text(&older, within, "activation_fn", NULL, error));
    TRY(json_get_text(&oldest, config, "sbert_ce_default_activation_function", NULL, error));
    if (!act) act = older ? older : oldest;
    self->rerank_act = self->info.label_count == 1 ? ACTIVATION_SIGMOID : ACTIVATION_NONE;
    return act ? activation_find_class(&self->rerank_act, "activation_fn", act, error) : RUBATO_OK;
}

/* Models of other kinds have the same modules and use them otherwise. */
static rubato_status check_kind(const json_t *settings, rubato_error *error) {
    const char *kind;
    TRY(json_get_text(&kind, settings, "model_type", "SentenceTransformer", error));
    if (strcmp(kind, "SentenceTransformer") == 0 || strcmp(kind, "CrossEncoder") == 0) return RUBATO_OK;
    return fail(
        error, RUBATO_UNSUPPORTED,
        "config_sentence_transformers.json: model_type \"%.60s\"; known are SentenceTransformer and CrossEncoder",
        kind);
}

rubato_status model_load_sentence(rubato_model *self, loader *load, const json_t *modules, const char *folder,
                                  const json_t *config, rubato_error *error) {
    self->sentence = modules != NULL;
    if (modules) {
        TRY(load_modules(self, load, modules, error));
        TRY(load_sentence_settings(self, folder, error));
    }
    json_t *settings;
    TRY(model_read_optional(&settings, self->path, "config_sentence_transformers.json", error));
    rubato_status status = check_kind(settings, error);
    if (status == RUBATO_OK) status = load_prompts(self, settings, error);
    if (status == RUBATO_OK && modules) status = load_truncation(self, load, settings, error);
    if (status == RUBATO_OK) status = load_rerank_activation(self, settings, config, error);
    json_decref(settings);
    return status;
}
