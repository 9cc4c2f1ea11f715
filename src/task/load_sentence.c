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

static rubato_status load_pooling_modes(rubato_model *self, const char *folder, rubato_error *error) {
    static const struct {
        const char *key, *name;
        unsigned mode;
    } modes[] = {{"pooling_mode_cls_token", "cls", POOL_CLS},
                 {"pooling_mode_max_tokens", "max", POOL_MAX},
                 {"pooling_mode_mean_tokens", "mean", POOL_MEAN},
                 {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", POOL_MEAN_SQRT},
                 {"pooling_mode_weightedmean_tokens", "weightedmean", POOL_WEIGHTED_MEAN},
                 {"pooling_mode_lasttoken", "lasttoken", POOL_LAST}};
    json_t *config;
    TRY(model_read_optional(&config, folder, "config.json", error));
    const char *one = json_string_value(json_object_get(config, "pooling_mode"));
    self->pool.modes = 0;
    bool include_prompt = true;
    rubato_status status = json_get_bool(&include_prompt, config, "include_prompt", true, error);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0] && status == RUBATO_OK; i++) {
        bool on = one ? strcmp(one, modes[i].name) == 0 : false;
        if (!one) status = json_get_bool(&on, config, modes[i].key, modes[i].mode == POOL_MEAN, error);
        if (on) self->pool.modes |= modes[i].mode;
    }
    self->pool.skip_prompt = !include_prompt;
    if (status == RUBATO_OK && !self->pool.modes)
        status = fail(error, RUBATO_UNSUPPORTED, "%s: no pooling mode that is known", folder);
    json_decref(config);
    return status;
}

static rubato_status load_stage_weights(rubato_model *self, loader *load, const char *folder, const json_t *config,
                                        pooling_stage *stage, size_t width, rubato_error *error) {
    checkpoint weights;
    TRY(checkpoint_open(&weights, folder, error));
    loader own = *load;
    own.weights = &weights;
    own.bound = NULL;
    own.fresh = NULL;
    rubato_status status;
    if (stage->kind == STAGE_DENSE) {
        const char *names[] = {"linear"}, *act;
        TRY_DONE(loader_linear(&own, &stage->dense, names, 1, 0, width));
        TRY_DONE(json_get_text(&act, config, "activation_function", "torch.nn.modules.activation.Tanh", error));
        if (text_ends_with(act, "Identity"))
            stage->act = ACTIVATION_NONE;
        else if (text_ends_with(act, ".Tanh"))
            stage->act = ACTIVATION_TANH;
        else if (text_ends_with(act, ".ReLU"))
            stage->act = ACTIVATION_RELU;
        else if (text_ends_with(act, ".GELU"))
            stage->act = ACTIVATION_GELU;
        else
            status = fail(error, RUBATO_UNSUPPORTED, "%s: activation_function \"%.80s\"", folder, act);
    } else {
        status = loader_norm(&own, &stage->norm, "norm", width, 1e-5f);
    }
    self->info.parameters += own.parameters - load->parameters;
done:
    checkpoint_close(&weights);
    return status;
}

static rubato_status load_module(rubato_model *self, loader *load, const char *type, const char *folder,
                                 rubato_error *error) {
    pooling *pool = &self->pool;
    if (text_ends_with(type, ".Transformer")) return RUBATO_OK;
    if (text_ends_with(type, ".Pooling")) {
        TRY(load_pooling_modes(self, folder, error));
        pool->width = self->body.config.hidden * (size_t)__builtin_popcount(pool->modes);
        return RUBATO_OK;
    }
    if (pool->stage_count == MAX_STAGES)
        return fail(error, RUBATO_UNSUPPORTED, "modules.json: more than %d stages", MAX_STAGES);
    pooling_stage *stage = &pool->stages[pool->stage_count];
    *stage = (pooling_stage){0};
    json_t *config;
    TRY(model_read_optional(&config, folder, "config.json", error));
    rubato_status status = RUBATO_OK;
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
    pool->stage_count++;
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

static rubato_status load_sentence_settings(rubato_model *self, const char *folder, rubato_error *error) {
    static const char *const names[] = {"sentence_bert_config.json",        "sentence_roberta_config.json",
                                        "sentence_distilbert_config.json",  "sentence_albert_config.json",
                                        "sentence_xlm-roberta_config.json", "sentence_camembert_config.json"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        json_t *config;
        TRY(model_read_optional(&config, folder, names[i], error));
        if (!config) continue;
        size_t most = 0;
        rubato_status status = json_get_size(&most, config, "max_seq_length", 0, error);
        if (status == RUBATO_OK) status = json_get_bool(&self->lowercase, config, "do_lower_case", false, error);
        if (most) self->info.max_length = size_min(most, encoder_max_length(&self->body.config));
        json_decref(config);
        return status;
    }
    return RUBATO_OK;
}

static rubato_status load_prompts(rubato_model *self, rubato_error *error) {
    json_t *config;
    TRY(model_read_optional(&config, self->path, "config_sentence_transformers.json", error));
    json_t *prompts = json_object_get(config, "prompts");
    size_t count = json_object_size(prompts);
    rubato_status status = RUBATO_OK;
    self->prompts = calloc(size_max(count, 1), sizeof *self->prompts);
    self->prompt_names = calloc(size_max(count, 1), sizeof *self->prompt_names);
    if (!self->prompts || !self->prompt_names) status = fail_memory(error);
    const char *first = json_string_value(json_object_get(config, "default_prompt_name"));
    const char *key;
    json_t *value;
    if (status == RUBATO_OK) json_object_foreach(prompts, key, value) {
            const char *text = json_string_value(value);
            size_t at = self->info.prompt_count;
            if (!text) continue;
            self->prompt_names[at] = text_copy(key, strlen(key));
            self->prompts[at] = text_copy(text, strlen(text));
            self->info.prompt_count++;
            if (!self->prompt_names[at] || !self->prompts[at]) {
                status = fail_memory(error);
                break;
            }
            if (first && strcmp(first, key) == 0) self->default_prompt = self->prompts[at];
        }
    json_decref(config);
    return status;
}

/* config.json of a cross-encoder names the activation of its score; the default for one label is a sigmoid. */
static void load_rerank_activation(rubato_model *self, const json_t *config) {
    const char *act =
        json_string_value(json_object_get(json_object_get(config, "sentence_transformers"), "activation_fn"));
    if (!act) act = json_string_value(json_object_get(config, "sbert_ce_default_activation_function"));
    self->rerank_sigmoid = act ? text_ends_with(act, "Sigmoid") : self->info.label_count == 1;
}

rubato_status model_load_sentence(rubato_model *self, loader *load, const json_t *modules, const char *folder,
                                  const json_t *config, rubato_error *error) {
    self->sentence = modules != NULL;
    if (modules) {
        TRY(load_modules(self, load, modules, error));
        TRY(load_sentence_settings(self, folder, error));
    }
    load_rerank_activation(self, config);
    return load_prompts(self, error);
}
