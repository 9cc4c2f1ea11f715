/* DistilBERT (Sanh et al. 2019): no token types, no pooler. */
#include "model/family.h"

const family family_distilbert = {
    .name = "distilbert",
    .model_types = {"distilbert"},
    .prefixes = {"distilbert."},
    .defaults = {.layers = 6, .hidden = 768, .heads = 12, .inner = 3072, .vocabulary = 30522, .positions = 512,
                 .epsilon = 1e-12f, .act = ACTIVATION_GELU},
    .keys = {.layers = "n_layers", .hidden = "dim", .heads = "n_heads", .inner = "hidden_dim",
             .positions = "max_position_embeddings", .act = "activation"},
    .names = {.word = "embeddings.word_embeddings", .position = "embeddings.position_embeddings",
              .embedding_norm = "embeddings.LayerNorm", .query = "transformer.layer.%zu.attention.q_lin",
              .key = "transformer.layer.%zu.attention.k_lin", .value = "transformer.layer.%zu.attention.v_lin",
              .attention_out = "transformer.layer.%zu.attention.out_lin",
              .attention_norm = "transformer.layer.%zu.sa_layer_norm", .up = "transformer.layer.%zu.ffn.lin1",
              .down = "transformer.layer.%zu.ffn.lin2", .output_norm = "transformer.layer.%zu.output_layer_norm"},
    .heads = {{.kind = HEAD_SEQUENCE, .dense = "pre_classifier", .act = ACTIVATION_RELU, .out = "classifier"},
              {.kind = HEAD_TOKEN, .out = "classifier"},
              {.kind = HEAD_QA, .out = "qa_outputs"},
              {.kind = HEAD_MLM, .dense = "vocab_transform", .norm = "vocab_layer_norm", .out = "vocab_projector"}},
};
