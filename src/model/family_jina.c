/* Jina's encoders for long texts: jina-embeddings-v3 (Sturua et al. 2024), an XLM-RoBERTa with rotary positions, and
 * the second version of JinaBERT (Guenther et al. 2023), a BERT with the biases of ALiBi (Press et al. 2021) and gated
 * feed-forward parts, which has BERT's model_type. */
#include "attention/softmax_attention.h"
#include "feeding/feeding.h"
#include "model/family.h"

extern const feeding feeding_gated;

static rubato_status configure(encoder_config *config, const json_t *json, rubato_error *error) {
    const softmax_setting dense = {.reach = 0};
    const json_t *rope;
    config->theta[0] = 20000;
    softmax_choose(&config->attention, dense);
    TRY(json_get_object(&rope, json, "rope_parameters", error));
    return config_read_theta(&config->theta[0], rope, error);
}

const family family_jina = {
    .name = "jina_embeddings_v3",
    .model_types = {"jina_embeddings_v3"},
    .class_names = {"JinaEmbeddingsV3"},
    .prefixes = {"roberta."},
    .defaults = {.layers = 24,
                 .hidden = 1024,
                 .heads = 16,
                 .inner = 4096,
                 .vocabulary = 250002,
                 .positions = 8194,
                 .types = 1,
                 .pad = 1,
                 .epsilon = 1e-5f,
                 .act = ACTIVATION_GELU},
    .keys = {BERT_KEYS, .types = BERT_TYPES},
    .names = {.word = "embeddings.word_embeddings",
              .type = BERT_TYPE_TABLE,
              ROTARY_NAMES,
              .up = "layers.%zu.mlp.fc1",
              .down = "layers.%zu.mlp.fc2"},
    .heads = {ROBERTA_HEADS},
    .configure = configure,
};

static rubato_status configure_alibi(encoder_config *config, const json_t *json, rubato_error *error) {
    const softmax_setting bias = {.alibi = true};
    (void)json, (void)error;
    softmax_choose(&config->attention, bias);
    part_choose(&config->feeding, &feeding_gated.part, NULL, 0);
    return RUBATO_OK;
}

const family family_jina_alibi = {
    .name = "jina_bert",
    .model_types = {"bert"},
    .told_by = "position_embedding_type",
    .told_value = "alibi",
    .places = "alibi",
    .class_names = {"Bert"},
    .prefixes = {"bert."},
    .defaults = {.layers = 12,
                 .hidden = 768,
                 .heads = 12,
                 .inner = 3072,
                 .vocabulary = 30528,
                 .positions = 8192,
                 .types = 2,
                 .epsilon = 1e-12f,
                 .act = ACTIVATION_GELU},
    .keys = {BERT_KEYS, .types = BERT_TYPES},
    .names = {.word = "embeddings.word_embeddings",
              .type = BERT_TYPE_TABLE,
              .embedding_norm = "embeddings.LayerNorm",
              BERT_ATTENTION,
              .up = "encoder.layer.%zu.mlp.gated_layers",
              .gate = "encoder.layer.%zu.mlp.gated_layers",
              .down = "encoder.layer.%zu.mlp.wo",
              .output_norm = "encoder.layer.%zu.mlp.layernorm"},
    .heads = {BERT_HEADS},
    .configure = configure_alibi,
};
