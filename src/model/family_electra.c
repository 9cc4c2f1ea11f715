/* ELECTRA (Clark et al. 2020): embeddings may be narrower than the layers. */
#include "model/family.h"

const family family_electra = {
    .name = "electra",
    .model_types = {"electra"},
    .prefixes = {"electra."},
    .defaults = {.layers = 12, .hidden = 256, .heads = 4, .inner = 1024, .vocabulary = 30522, .positions = 512,
                 .types = 2, .embedding = 128, .epsilon = 1e-12f, .act = ACTIVATION_GELU},
    .keys = {.layers = "num_hidden_layers", .hidden = "hidden_size", .heads = "num_attention_heads",
             .inner = "intermediate_size", .positions = "max_position_embeddings", .types = "type_vocab_size",
             .embedding = "embedding_size", .epsilon = "layer_norm_eps", .act = "hidden_act"},
    .names = {.word = "embeddings.word_embeddings", .position = "embeddings.position_embeddings",
              .type = "embeddings.token_type_embeddings", .embedding_norm = "embeddings.LayerNorm",
              .projection = "embeddings_project", .query = "encoder.layer.%zu.attention.self.query",
              .key = "encoder.layer.%zu.attention.self.key", .value = "encoder.layer.%zu.attention.self.value",
              .attention_out = "encoder.layer.%zu.attention.output.dense",
              .attention_norm = "encoder.layer.%zu.attention.output.LayerNorm",
              .up = "encoder.layer.%zu.intermediate.dense", .down = "encoder.layer.%zu.output.dense",
              .output_norm = "encoder.layer.%zu.output.LayerNorm"},
    /* The classification head has the erf GELU, the generator's head too, whatever hidden_act says. */
    .heads = {{.kind = HEAD_SEQUENCE, .dense = "classifier.dense", .act = ACTIVATION_GELU,
               .out = "classifier.out_proj"},
              {.kind = HEAD_TOKEN, .out = "classifier"},
              {.kind = HEAD_QA, .out = "qa_outputs"},
              {.kind = HEAD_MLM, .dense = "generator_predictions.dense", .act = ACTIVATION_GELU,
               .norm = "generator_predictions.LayerNorm", .out = "generator_lm_head"}},
};
