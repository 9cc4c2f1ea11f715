/* ALBERT (Lan et al. 2019): the layers of a group share their weights; embeddings have fewer columns and are
 * projected. */
#include "model/family.h"

static rubato_status configure(encoder_config *config, const json_t *json, rubato_error *error) {
    TRY(json_get_size(&config->groups, json, "num_hidden_groups", 1, error));
    TRY(json_get_size(&config->inner_layers, json, "inner_group_num", 1, error));
    if (config->groups == 0 || config->inner_layers == 0 || config->groups > config->layers ||
        config->inner_layers > 64)
        return fail(error, RUBATO_BAD_MODEL, "num_hidden_groups %zu and inner_group_num %zu for %zu layers",
                    config->groups, config->inner_layers, config->layers);
    return RUBATO_OK;
}

#define LAYER "encoder.albert_layer_groups.%zu.albert_layers.%zu."

const family family_albert = {
    .name = "albert",
    .model_types = {"albert"},
    .class_names = {"Albert"},
    .prefixes = {"albert."},
    .defaults = {.layers = 12,
                 .hidden = 4096,
                 .heads = 64,
                 .inner = 16384,
                 .vocabulary = 30000,
                 .positions = 512,
                 .types = 2,
                 .embedding = 128,
                 .epsilon = 1e-12f,
                 .act = ACTIVATION_GELU_TANH},
    .keys = {BERT_KEYS, .types = BERT_TYPES, .embedding = "embedding_size", .undropped = true},
    .names = {.type = BERT_TYPE_TABLE,
              BERT_EMBEDDINGS,
              .projection = "encoder.embedding_hidden_mapping_in",
              .query = LAYER "attention.query",
              .key = LAYER "attention.key",
              .value = LAYER "attention.value",
              .attention_out = LAYER "attention.dense",
              .attention_norm = LAYER "attention.LayerNorm",
              .up = LAYER "ffn",
              .down = LAYER "ffn_output",
              .output_norm = LAYER "full_layer_layer_norm"},
    .heads = {{.kind = HEAD_SEQUENCE, .dense = "pooler", .prefixed = true, .act = ACTIVATION_TANH, .out = "classifier"},
              {.kind = HEAD_TOKEN, .out = "classifier"},
              {.kind = HEAD_QA, .out = "qa_outputs"},
              {.kind = HEAD_MLM,
               .dense = "predictions.dense",
               .norm = "predictions.LayerNorm",
               .out = "predictions.decoder",
               .out_bias = "predictions.bias"}},
    .configure = configure,
};
