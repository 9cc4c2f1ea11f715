/* ModernBERT (Warner et al. 2024): norms before attention and feed-forward parts, gated feed-forward parts, rotary
 * positions, no biases. Some layers see all rows, and the others windows. */
#include <string.h>

#include "attention/softmax_attention.h"
#include "feeding/feeding.h"
#include "model/family.h"

extern const feeding feeding_gated;

enum { FULL, SLIDING, MOST_WINDOW = 1 << 24 };

static const char *const kinds[] = {[FULL] = "full_attention", [SLIDING] = "sliding_attention"};

/* "layer_types", or every layer of so many is a full one. */
static rubato_status find_windows(encoder_config *config, const json_t *json, rubato_error *error) {
    const json_t *types;
    size_t every;
    TRY(json_get_list(&types, json, "layer_types", error));
    TRY(json_get_size(&every, json, "global_attn_every_n_layers", 3, error));
    if (!types && every == 0) return fail(error, RUBATO_BAD_MODEL, "\"global_attn_every_n_layers\" is 0");
    if (types && json_array_size(types) != config->layers)
        return fail(error, RUBATO_BAD_MODEL, "\"layer_types\" has not one type for each of %zu layers", config->layers);
    if (config->layers > MOST_UNEVEN)
        return fail(error, RUBATO_UNSUPPORTED, "more than %d layers, of which some have windows", MOST_UNEVEN);
    for (size_t i = 0; i < config->layers; i++) {
        const char *type = types ? json_string_value(json_array_get(types, i)) : kinds[i % every ? SLIDING : FULL];
        if (!type || (strcmp(type, kinds[FULL]) != 0 && strcmp(type, kinds[SLIDING]) != 0))
            return fail(error, RUBATO_UNSUPPORTED, "\"layer_types\": full_attention and sliding_attention are known");
        if (strcmp(type, kinds[SLIDING]) == 0) config->other_attention_layers |= (uint64_t)1 << i;
    }
    return RUBATO_OK;
}

/* "rope_parameters" of transformers 5, else two keys; a local theta of null is the global one. */
static rubato_status find_theta(encoder_config *config, const json_t *json, rubato_error *error) {
    static const char *const keys[] = {"global_rope_theta", "local_rope_theta"};
    static const double usual[] = {160000, 10000};
    const json_t *all, *own;
    TRY(json_get_object(&all, json, "rope_parameters", error));
    if (json_object_get(json, "rope_scaling") && !json_is_null(json_object_get(json, "rope_scaling")))
        return fail(error, RUBATO_UNSUPPORTED, "\"rope_scaling\": positions are not scaled here");
    for (int i = FULL; i <= SLIDING; i++) {
        const bool null = json_is_null(json_object_get(json, keys[i]));
        TRY(json_get_real(&config->theta[i], json, null ? "" : keys[i], null && i ? config->theta[0] : usual[i],
                          error));
        TRY(json_get_object(&own, all, kinds[i], error));
        TRY(config_read_theta(&config->theta[i], own, error));
    }
    return RUBATO_OK;
}

static rubato_status configure(encoder_config *config, const json_t *json, rubato_error *error) {
    const char *pooled, *of_head;
    size_t window, half, head;
    TRY(find_windows(config, json, error));
    TRY(find_theta(config, json, error));
    TRY(json_get_size(&window, json, "local_attention", 128, error));
    TRY(json_get_size(&half, json, "sliding_window", window / 2, error));
    TRY(json_get_size(&head, json, "head_dim", 0, error));
    TRY(json_get_text(&pooled, json, "classifier_pooling", "cls", error));
    TRY(json_get_text(&of_head, json, "classifier_activation", "gelu", error));
    if (strcmp(pooled, "cls") != 0 && strcmp(pooled, "mean") != 0)
        return fail(error, RUBATO_UNSUPPORTED, "classifier_pooling \"%.40s\": cls and mean are known", pooled);
    TRY(activation_find(&config->head_act, "classifier_activation", of_head, error));
    if (half == 0 || half > MOST_WINDOW)
        return fail(error, RUBATO_BAD_MODEL, "windows of %zu rows (\"local_attention\", \"sliding_window\")", 2 * half);
    if (head && head * config->heads != config->hidden)
        return fail(error, RUBATO_UNSUPPORTED, "\"head_dim\" %zu: heads are of hidden_size by their number", head);
    config->mean_head = strcmp(pooled, "mean") == 0;
    config->pre_norm = config->no_bias = true;
    const softmax_setting all = {.reach = 0}, near = {.reach = half};
    softmax_choose(&config->attention, all);
    softmax_choose(&config->other_attention, near);
    part_choose(&config->feeding, &feeding_gated.part, &all, 0);
    return RUBATO_OK;
}

#define MODERNBERT_HEAD .dense = "head.dense", .norm = "head.norm", .no_bias = true

const family family_modernbert = {
    .name = "modernbert",
    .model_types = {"modernbert"},
    .class_names = {"ModernBert"},
    .prefixes = {"model."},
    .defaults = {.layers = 22,
                 .hidden = 768,
                 .heads = 12,
                 .inner = 1152,
                 .vocabulary = 50368,
                 .positions = 8192,
                 .pad = 50283,
                 .epsilon = 1e-5f,
                 .act = ACTIVATION_GELU},
    .keys = {.layers = "num_hidden_layers",
             .hidden = "hidden_size",
             .heads = "num_attention_heads",
             .inner = "intermediate_size",
             .positions = "max_position_embeddings",
             .epsilon = "norm_eps",
             .act = "hidden_activation",
             .hidden_dropout = "embedding_dropout",
             .attention_dropout = "attention_dropout",
             .undropped = true},
    .names = {.word = "embeddings.tok_embeddings",
              .embedding_norm = "embeddings.norm",
              .attention_norm = "layers.%zu.attn_norm",
              .query = "layers.%zu.attn.Wqkv",
              .key = "layers.%zu.attn.Wqkv",
              .value = "layers.%zu.attn.Wqkv",
              .attention_out = "layers.%zu.attn.Wo",
              .output_norm = "layers.%zu.mlp_norm",
              .up = "layers.%zu.mlp.Wi",
              .gate = "layers.%zu.mlp.Wi",
              .down = "layers.%zu.mlp.Wo",
              .final_norm = "final_norm"},
    .heads = {{.kind = HEAD_SEQUENCE, MODERNBERT_HEAD, .out = "classifier"},
              {.kind = HEAD_TOKEN, MODERNBERT_HEAD, .out = "classifier"},
              {.kind = HEAD_QA, MODERNBERT_HEAD, .out = "classifier"},
              {.kind = HEAD_MLM, MODERNBERT_HEAD, .out = "decoder"}},
    .configure = configure,
};
