/* MPNet (Song et al. 2020): one table of relative attention biases for all layers, no token types. */
#include "attention/softmax_attention.h"
#include "model/family.h"

enum { BUCKETS = 32 };

static rubato_status configure(encoder_config *config, const json_t *json, rubato_error *error) {
    config->pad = 1; /* whatever pad_token_id says, as in transformers */
    config->first_position = (size_t)config->pad + 1;
    config->count_pads = true;
    size_t buckets;
    TRY(json_get_size(&buckets, json, "relative_attention_num_buckets", BUCKETS, error));
    if (buckets != BUCKETS)
        return fail(error, RUBATO_UNSUPPORTED,
                    "relative_attention_num_buckets is %zu; transformers computes with %d, whatever the table has",
                    buckets, BUCKETS);
    softmax_choose(&config->attention, (softmax_setting){.buckets = buckets});
    return RUBATO_OK;
}

const family family_mpnet = {
    .name = "mpnet",
    .model_types = {"mpnet"},
    .class_names = {"MPNet"},
    .prefixes = {"mpnet."},
    .defaults = {.layers = 12,
                 .hidden = 768,
                 .heads = 12,
                 .inner = 3072,
                 .vocabulary = 30527,
                 .positions = 512,
                 .pad = 1,
                 .epsilon = 1e-12f,
                 .act = ACTIVATION_GELU},
    .keys = {BERT_KEYS},
    .names = {BERT_EMBEDDINGS, .query = "encoder.layer.%zu.attention.attn.q",
              .key = "encoder.layer.%zu.attention.attn.k", .value = "encoder.layer.%zu.attention.attn.v",
              .attention_out = "encoder.layer.%zu.attention.attn.o",
              .attention_norm = "encoder.layer.%zu.attention.LayerNorm", BERT_FEED_FORWARD,
              .relative_bias = "encoder.relative_attention_bias"},
    .heads = {ROBERTA_HEADS},
    .configure = configure,
};
