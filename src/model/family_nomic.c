/* NomicBERT (Nussbaum et al. 2024): rotary positions, gated feed-forward parts, norms behind the parts. transformers
 * has it under names of its own; the first checkpoints have those of their authors' code, with keys like GPT-2's. */
#include <string.h>

#include "model/family.h"

enum { THETA = 1000 };

static rubato_status configure(encoder_config *config, const json_t *json, rubato_error *error) {
    const json_t *rope;
    size_t head;
    config_choose_rotary(config, THETA);
    TRY(json_get_object(&rope, json, "rope_parameters", error));
    TRY(config_read_theta(&config->theta[0], rope, error));
    TRY(json_get_size(&head, json, "head_dim", 0, error));
    if (head && head * config->heads != config->hidden)
        return fail(error, RUBATO_UNSUPPORTED, "\"head_dim\" %zu: heads are of hidden_size by their number", head);
    return RUBATO_OK;
}

static const json_refusal refused[] = {{"prenorm", "norms are behind the parts here"},
                                       {"parallel_block", "the parts of a layer run one after the other"},
                                       {"causal", "all rows see each other"},
                                       {"use_rms_norm", "norms are layer norms"},
                                       {"rotary_emb_interleaved", "the halves of a head are paired"},
                                       {"rotary_emb_scale_base", "scores do not fall with the distance"},
                                       {"rotary_scaling_factor", "positions are not scaled"},
                                       {NULL, NULL}};

static rubato_status configure_first(encoder_config *config, const json_t *json, rubato_error *error) {
    static const struct {
        const char *name;
        activation act;
    } gates[] = {{"swiglu", ACTIVATION_SILU}, {"geglu", ACTIVATION_GELU}, {"glu", ACTIVATION_SIGMOID}};
    const char *act;
    double fraction;
    TRY(json_refuse(json, refused, error));
    config_choose_rotary(config, THETA);
    TRY(json_get_real(&config->theta[0], json, "rotary_emb_base", THETA, error));
    TRY(config_read_theta(&config->theta[0], NULL, error));
    TRY(json_get_real(&fraction, json, "rotary_emb_fraction", 1, error));
    if (fraction != 1) return fail(error, RUBATO_UNSUPPORTED, "\"rotary_emb_fraction\" is %g; 1 is known", fraction);
    TRY(json_get_size(&config->positions, json, "max_trained_positions", config->positions, error));
    TRY(json_get_text(&act, json, "activation_function", gates[0].name, error));
    for (size_t i = 0; i < sizeof gates / sizeof gates[0]; i++)
        if (strcmp(gates[i].name, act) == 0) {
            config->act = gates[i].act;
            return RUBATO_OK;
        }
    return fail(error, RUBATO_UNSUPPORTED, "activation_function \"%.40s\": swiglu, geglu and glu are known", act);
}

#define SAME                                                                                                           \
    .name = "nomic_bert", .model_types = {"nomic_bert"}, .class_names = {"NomicBert"},                                 \
    .defaults = {.layers = 12,                                                                                         \
                 .hidden = 768,                                                                                        \
                 .heads = 12,                                                                                          \
                 .inner = 3072,                                                                                        \
                 .vocabulary = 30528,                                                                                  \
                 .positions = 2048,                                                                                    \
                 .types = 2,                                                                                           \
                 .epsilon = 1e-12f,                                                                                    \
                 .act = ACTIVATION_SILU,                                                                               \
                 .no_bias = true},                                                                                     \
    .heads = {BERT_TEXT_HEADS,                                                                                         \
              {.kind = HEAD_MLM,                                                                                       \
               .dense = "cls.predictions.transform.dense",                                                             \
               .norm = "cls.predictions.transform.layer_norm",                                                         \
               .out = "cls.predictions.decoder",                                                                       \
               .out_bias = "cls.predictions.bias"}}

const family family_nomic = {
    SAME,
    .prefixes = {"nomic_bert."},
    .keys = {BERT_KEYS, .types = BERT_TYPES, .undropped = true},
    .names = {.word = "embeddings.word_embeddings", .type = BERT_TYPE_TABLE, ROTARY_NAMES, ROTARY_GATED},
    .configure = configure,
};

const family family_nomic_first = {
    SAME,
    .told_by = "n_embd",
    .prefixes = {"bert."},
    .keys = {.layers = "n_layer",
             .hidden = "n_embd",
             .heads = "n_head",
             .inner = "n_inner",
             .types = BERT_TYPES,
             .epsilon = "layer_norm_epsilon",
             .hidden_dropout = "resid_pdrop",
             .attention_dropout = "attn_pdrop",
             .undropped = true},
    .names = {.word = "embeddings.word_embeddings",
              .type = BERT_TYPE_TABLE,
              .embedding_norm = "emb_ln",
              .query = "encoder.layers.%zu.attn.Wqkv",
              .key = "encoder.layers.%zu.attn.Wqkv",
              .value = "encoder.layers.%zu.attn.Wqkv",
              .attention_out = "encoder.layers.%zu.attn.out_proj",
              .attention_norm = "encoder.layers.%zu.norm1",
              .up = "encoder.layers.%zu.mlp.fc12",
              .gate = "encoder.layers.%zu.mlp.fc11",
              .down = "encoder.layers.%zu.mlp.fc2",
              .output_norm = "encoder.layers.%zu.norm2"},
    .configure = configure_first,
};
