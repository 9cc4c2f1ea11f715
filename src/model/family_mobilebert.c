/* MobileBERT (Sun et al. 2020): thin layers with bottlenecks around them, stacked feed-forward parts, embeddings of
 * three neighbouring tokens, and norms without statistics. The embedding behind a sequence's last token is zero. */
#include <string.h>

#include "attention/bottleneck.h"
#include "feeding/stacked.h"
#include "model/family.h"

enum { MOST_NARROW = 1 << 16, MOST_STACK = 64 };

static rubato_status configure(encoder_config *config, const json_t *json, rubato_error *error) {
    size_t narrow, stack;
    bool bottleneck, shared, all, pooler;
    const char *norms;
    TRY(json_get_size(&narrow, json, "intra_bottleneck_size", 128, error));
    TRY(json_get_size(&stack, json, "num_feedforward_networks", 4, error));
    TRY(json_get_bool(&bottleneck, json, "use_bottleneck", true, error));
    TRY(json_get_bool(&shared, json, "key_query_shared_bottleneck", true, error));
    TRY(json_get_bool(&all, json, "use_bottleneck_attention", false, error));
    TRY(json_get_bool(&config->trigrams, json, "trigram_input", true, error));
    TRY(json_get_bool(&pooler, json, "classifier_activation", true, error));
    TRY(json_get_text(&norms, json, "normalization_type", "no_norm", error));
    if (!bottleneck) return fail(error, RUBATO_UNSUPPORTED, "use_bottleneck is false");
    if (strcmp(norms, "no_norm") != 0 && strcmp(norms, "layer_norm") != 0)
        return fail(error, RUBATO_UNSUPPORTED, "normalization_type \"%.40s\"", norms);
    if (narrow == 0 || narrow > MOST_NARROW || config->heads == 0 || narrow % config->heads != 0)
        return fail(error, RUBATO_BAD_MODEL, "intra_bottleneck_size %zu is not a multiple of %zu heads", narrow,
                    config->heads);
    if (stack == 0 || stack > MOST_STACK)
        return fail(error, RUBATO_BAD_MODEL, "num_feedforward_networks is %zu", stack);
    config->narrow = narrow;
    config->late_places = true;
    config->embedding_epsilon = 1e-5f; /* transformers leaves layer_norm_eps aside there */
    config->plain_norms = strcmp(norms, "no_norm") == 0;
    config->no_pooler = !pooler;
    const bottleneck_setting attention = {
        .narrow = (uint32_t)narrow, .stack = (uint32_t)stack, .shared = shared && !all, .all = all};
    const stacked_setting feeding_of = {.narrow = (uint32_t)narrow, .stack = (uint32_t)stack};
    _Static_assert(sizeof attention <= SETTING_BYTES && sizeof feeding_of <= SETTING_BYTES, "settings fit");
    part_choose(&config->attention, &attending_bottleneck.part, &attention, sizeof attention);
    part_choose(&config->feeding, &feeding_stacked.part, &feeding_of, sizeof feeding_of);
    return RUBATO_OK;
}

const family family_mobilebert = {
    .name = "mobilebert",
    .model_types = {"mobilebert"},
    .class_names = {"MobileBert"},
    .prefixes = {"mobilebert."},
    .defaults = {.layers = 24,
                 .hidden = 512,
                 .heads = 4,
                 .inner = 512,
                 .vocabulary = 30522,
                 .positions = 512,
                 .types = 2,
                 .embedding = 128,
                 .epsilon = 1e-12f,
                 .act = ACTIVATION_RELU},
    .keys = {BERT_KEYS, .types = BERT_TYPES, .embedding = "embedding_size"},
    .names = {BERT_EMBEDDINGS, .type = BERT_TYPE_TABLE, .projection = "embeddings.embedding_transformation",
              .query = "encoder.layer.%zu.attention.self.query", .key = "encoder.layer.%zu.attention.self.key",
              .value = "encoder.layer.%zu.attention.self.value",
              .attention_out = "encoder.layer.%zu.attention.output.dense",
              .output_norm = "encoder.layer.%zu.output.bottleneck.LayerNorm"},
    .heads = {{.kind = HEAD_SEQUENCE,
               .dense = "pooler.dense",
               .prefixed = true,
               .act = ACTIVATION_TANH,
               .out = "classifier"},
              {.kind = HEAD_TOKEN, .out = "classifier"},
              {.kind = HEAD_QA, .out = "qa_outputs"},
              {BERT_MLM_HEAD, .wide = "cls.predictions.dense"},
              {.kind = HEAD_NSP,
               .dense = "pooler.dense",
               .prefixed = true,
               .act = ACTIVATION_TANH,
               .out = "cls.seq_relationship"}},
    .configure = configure,
};
