/* RoBERTa (Liu et al. 2019), XLM-RoBERTa (Conneau et al. 2019), CamemBERT: positions begin after the pad's position. */
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
    .causal_class = "ForCausalLM",
    .model_types = {"roberta", "xlm-roberta", "camembert"},
    .class_names = {"Roberta", "XLMRoberta", "Camembert"},
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
    .keys = {BERT_KEYS, .types = BERT_TYPES},
    .names = {BERT_EMBEDDINGS, .type = BERT_TYPE_TABLE, BERT_ATTENTION, BERT_FEED_FORWARD},
    .heads = {ROBERTA_HEADS},
    .configure = configure,
};
