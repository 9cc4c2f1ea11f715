/* Big Bird (Zaheer et al. 2020): BERT with blocks of attention, as transformers runs it outside of training: where the
 * paper draws random blocks, the first block counts so many times more. */
#include <string.h>

#include "attention/bigbird_attention.h"
#include "model/family.h"

static rubato_status configure(encoder_config *config, const json_t *json, rubato_error *error) {
    bigbird_setting setting = {.drawn = false};
    const char *type;
    bool biased, rescaled;
    TRY(json_get_text(&type, json, "attention_type", "block_sparse", error));
    TRY(json_get_size(&setting.block, json, "block_size", 64, error));
    TRY(json_get_size(&setting.random, json, "num_random_blocks", 3, error));
    TRY(json_get_bool(&biased, json, "use_bias", true, error));
    TRY(json_get_bool(&rescaled, json, "rescale_embeddings", false, error));
    if (!biased) return fail(error, RUBATO_UNSUPPORTED, "\"use_bias\": queries, keys and values need biases");
    if (rescaled) return fail(error, RUBATO_UNSUPPORTED, "\"rescale_embeddings\": embeddings are not scaled here");
    if (strcmp(type, "original_full") == 0) return RUBATO_OK;
    if (strcmp(type, "block_sparse") != 0)
        return fail(error, RUBATO_UNSUPPORTED, "\"attention_type\" %.40s: block_sparse and original_full are known",
                    type);
    if (setting.block == 0 || setting.block > BIGBIRD_LARGEST || setting.random > BIGBIRD_MOST)
        return fail(error, RUBATO_BAD_MODEL, "\"block_size\" %zu with %zu random blocks", setting.block,
                    setting.random);
    bigbird_choose(&config->attention, setting);
    return RUBATO_OK;
}

const family family_bigbird = {
    .name = "big_bird",
    .model_types = {"big_bird"},
    .class_names = {"BigBird"},
    .prefixes = {"bert."},
    .defaults = {.layers = 12,
                 .hidden = 768,
                 .heads = 12,
                 .inner = 3072,
                 .vocabulary = 50358,
                 .positions = 4096,
                 .types = 2,
                 .epsilon = 1e-12f,
                 .act = ACTIVATION_GELU_TANH},
    .keys = {BERT_KEYS, .types = BERT_TYPES},
    .names = {BERT_EMBEDDINGS, .type = BERT_TYPE_TABLE, BERT_ATTENTION, BERT_FEED_FORWARD},
    .heads = {{.kind = HEAD_SEQUENCE, .dense = "classifier.dense", .out = "classifier.out_proj"},
              {.kind = HEAD_TOKEN, .out = "classifier"},
              {.kind = HEAD_QA,
               .dense = "qa_classifier.intermediate.dense",
               .down = "qa_classifier.output.dense",
               .norm = "qa_classifier.output.LayerNorm",
               .out = "qa_classifier.qa_outputs"},
              {BERT_MLM_HEAD},
              {.kind = HEAD_NSP,
               .dense = "pooler",
               .prefixed = true,
               .act = ACTIVATION_TANH,
               .out = "cls.seq_relationship"}},
    .disguised = true,
    .configure = configure,
};
