/* ELECTRA (Clark et al. 2020): embeddings may have fewer columns than the layers. */
#include "model/family.h"

const family family_electra = {
    .name = "electra",
    .model_types = {"electra"},
    .class_names = {"Electra"},
    .prefixes = {"electra."},
    .defaults = {.layers = 12,
                 .hidden = 256,
                 .heads = 4,
                 .inner = 1024,
                 .vocabulary = 30522,
                 .positions = 512,
                 .types = 2,
                 .embedding = 128,
                 .epsilon = 1e-12f,
                 .act = ACTIVATION_GELU},
    .keys = {BERT_KEYS, .types = BERT_TYPES, .embedding = "embedding_size"},
    .names = {BERT_EMBEDDINGS, .type = BERT_TYPE_TABLE, .projection = "embeddings_project", BERT_ATTENTION,
              BERT_FEED_FORWARD},
    /* The classification head and the generator's head have the erf GELU, whatever hidden_act says. */
    .heads =
        {{.kind = HEAD_SEQUENCE, .dense = "classifier.dense", .act = ACTIVATION_GELU, .out = "classifier.out_proj"},
         {.kind = HEAD_TOKEN, .out = "classifier"},
         {.kind = HEAD_QA, .out = "qa_outputs"},
         {.kind = HEAD_REPLACED,
          .dense = "discriminator_predictions.dense",
          .out = "discriminator_predictions.dense_prediction"},
         {.kind = HEAD_MLM,
          .dense = "generator_predictions.dense",
          .act = ACTIVATION_GELU,
          .norm = "generator_predictions.LayerNorm",
          .out = "generator_lm_head"}},
};
