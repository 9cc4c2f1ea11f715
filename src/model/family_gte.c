/* GTE's encoders for long texts (Zhang et al. 2024, "mGTE"): rotary positions, gated feed-forward parts, norms behind
 * the parts. transformers has them as `gte`; the first checkpoints have the model_type `new` and the names of their
 * authors' code. */
#include <math.h>
#include <string.h>

#include "base/truth.h"
#include "model/family.h"

static rubato_status configure(encoder_config *config, const json_t *json, rubato_error *error) {
    const json_t *rope;
    config_choose_rotary(config, 160000);
    TRY(json_get_object(&rope, json, "rope_parameters", error));
    return config_read_theta(&config->theta[0], rope, error);
}

static const json_refusal refused[] = {{"logn_attention_scale", "scores are not scaled by the length"},
                                       {"logn_attention_clip1", "scores are not scaled by the length"},
                                       {NULL, NULL}};

/* "rope_scaling" of the type "ntk" makes theta larger and all turns slower, so that texts that are longer by the factor
 * turn about as far as those of pre-training. */
static rubato_status configure_first(encoder_config *config, const json_t *json, rubato_error *error) {
    const json_t *scaling;
    const char *type, *norms;
    double factor;
    bool packed;
    TRY(json_refuse(json, refused, error));
    config_choose_rotary(config, 10000);
    TRY(config_read_theta(&config->theta[0], json, error));
    TRY(json_get_bool(&packed, json, "pack_qkv", true, error));
    TRY(json_get_text(&norms, json, "layer_norm_type", "layer_norm", error));
    if (!packed || strcmp(norms, "layer_norm") != 0)
        return fail(error, RUBATO_UNSUPPORTED,
                    "\"pack_qkv\" that is false, or another layer_norm_type than layer_norm");
    TRY(json_get_object(&scaling, json, "rope_scaling", error));
    TRY(json_get_text(&type, scaling, "type", "ntk", error));
    TRY(json_get_real(&factor, scaling, "factor", 1, error));
    if (strcmp(type, "ntk") != 0 || !(factor >= 1 && factor < 1e6) || json_truth(json_object_get(scaling, "mixed_b")))
        return fail(error, RUBATO_UNSUPPORTED, "\"rope_scaling\": the type ntk with a factor of at least 1 is known");
    if (factor == 1 || !config->heads || !config->hidden) return RUBATO_OK;
    config->theta[0] *= factor;
    config->slower = pow(factor, 2 * (double)config->heads / (double)config->hidden);
    return RUBATO_OK;
}

#define SAME                                                                                                           \
    .name = "gte", .keys = {BERT_KEYS, .types = BERT_TYPES},                                                           \
    .defaults = {.layers = 12,                                                                                         \
                 .hidden = 768,                                                                                        \
                 .heads = 12,                                                                                          \
                 .inner = 3072,                                                                                        \
                 .vocabulary = 250048,                                                                                 \
                 .positions = 8192,                                                                                    \
                 .types = 1,                                                                                           \
                 .pad = 1,                                                                                             \
                 .epsilon = 1e-12f,                                                                                    \
                 .act = ACTIVATION_GELU}
#define HEADS(normalised)                                                                                              \
    {                                                                                                                  \
        BERT_TEXT_HEADS, {                                                                                             \
            .kind = HEAD_MLM, .dense = "lm_head.dense", .act = ACTIVATION_GELU, .norm = normalised,                    \
            .out = "lm_head.decoder"                                                                                   \
        }                                                                                                              \
    }

const family family_gte = {
    SAME,
    .model_types = {"gte"},
    .class_names = {"Gte"},
    .prefixes = {"gte."},
    .names = {.word = "embeddings.word_embeddings", .type = BERT_TYPE_TABLE, ROTARY_NAMES, ROTARY_GATED},
    .heads = HEADS("lm_head.layer_norm"),
    .configure = configure,
};

const family family_gte_first = {
    SAME,
    .model_types = {"new"},
    .class_names = {"New"},
    .places = "rope",
    .prefixes = {"new."},
    .names = {.word = "embeddings.word_embeddings",
              .type = BERT_TYPE_TABLE,
              .embedding_norm = "embeddings.LayerNorm",
              .query = "encoder.layer.%zu.attention.qkv_proj",
              .key = "encoder.layer.%zu.attention.qkv_proj",
              .value = "encoder.layer.%zu.attention.qkv_proj",
              .attention_out = "encoder.layer.%zu.attention.o_proj",
              .attention_norm = "encoder.layer.%zu.attn_ln",
              .up = "encoder.layer.%zu.mlp.up_gate_proj",
              .gate = "encoder.layer.%zu.mlp.up_gate_proj",
              .gate_first = true,
              .down = "encoder.layer.%zu.mlp.down_proj",
              .output_norm = "encoder.layer.%zu.mlp_ln"},
    .heads = HEADS("lm_head.norm"),
    .configure = configure_first,
};
