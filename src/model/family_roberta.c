/* RoBERTa (Liu et al. 2019), XLM-RoBERTa (Conneau et al. 2019), CamemBERT: positions begin after the pad's. */
#include "model/family.h"

static rubato_status configure(encoder_config *config, const json_t *json, rubato_error *error) {
    (void)json;
    (void)error;
    config->first_position = (size_t)config->pad + 1;
    config->count_pads = true;
    return RUBATO_OK;
}

const family family_roberta = {
    .name = "roberta",
    .model_types = {"roberta", "xlm-roberta", "camembert"},
    .prefixes = {"roberta.", "xlm-roberta.", "camembert."},
    .defaults = {.layers = 12,
                 .hidden = 768,
                 .heads = 12,
                 .inner = 3072,
                 .vocabulary = 50265,
                 .positions = 512,
                 .types = 2,
                 .pad = 1,
                 .epsilon = 1e-12f,
                 .act = ACTIVATION_GELU},
    .keys = {.layers = "num_hidden_layers",
             .hidden = "hidden_size",
             .heads = "num_attention_heads",
             .inner = "intermediate_size",
             .positions = "max_position_embeddings",
             .types = "type_vocab_size",
             .epsilon = "layer_norm_eps",
             .act = "hidden_act"},
    .names = {.word = "embeddings.word_embeddings",
              .position = "embeddings.position_embeddings",
              .type = "embeddings.token_type_embeddings",
              .embedding_norm = "embeddings.LayerNorm",
              .query = "encoder.layer.%zu.attention.self.query",
              .key = "encoder.layer.%zu.attention.self.key",
              .value = "encoder.layer.%zu.attention.self.value",
              .attention_out = "encoder.layer.%zu.attention.output.dense",
              .attention_norm = "encoder.layer.%zu.attention.output.LayerNorm",
              .up = "encoder.layer.%zu.intermediate.dense",
              .down = "encoder.layer.%zu.output.dense",
              .output_norm = "encoder.layer.%zu.output.LayerNorm"},
    .heads =
        {{.kind = HEAD_SEQUENCE, .dense = "classifier.dense", .act = ACTIVATION_TANH, .out = "classifier.out_proj"},
         {.kind = HEAD_TOKEN, .out = "classifier"},
         {.kind = HEAD_QA, .out = "qa_outputs"},
         {.kind = HEAD_MLM,
          .dense = "lm_head.dense",
          .act = ACTIVATION_GELU,
          .norm = "lm_head.layer_norm",
          .out = "lm_head.decoder",
          .out_bias = "lm_head.bias"}},
    .configure = configure,
};
