/* Funnel-Transformer (Dai et al. 2020): blocks of layers, between which neighbouring rows merge; attention by relative
 * positions without absolute ones; and a decoder of full length for heads that answer for every token. */
#include <string.h>

#include "attention/softmax_attention.h"
#include "model/family.h"

static const json_refusal refused[] = {{SECOND_LAYERS, "block_sizes says the layers of this model"},
                                       {"num_blocks", "block_sizes says the blocks of this model"},
                                       {NULL, NULL}};

static rubato_status read_blocks(encoder_config *config, const json_t *json, rubato_error *error) {
    const json_t *sizes, *repeats;
    TRY(json_get_list(&sizes, json, "block_sizes", error));
    TRY(json_get_list(&repeats, json, "block_repeats", error));
    config->blocks = json_array_size(sizes);
    config->layers = 0;
    if (config->blocks == 0 || config->blocks > MOST_BLOCKS || (repeats && json_array_size(repeats) != config->blocks))
        return fail(error, RUBATO_BAD_MODEL, "block_sizes needs 1 to %d blocks, and block_repeats as many",
                    MOST_BLOCKS);
    for (size_t i = 0; i < config->blocks; i++) {
        json_int_t size = json_integer_value(json_array_get(sizes, i));
        json_int_t runs = repeats ? json_integer_value(json_array_get(repeats, i)) : 1;
        if (size < 1 || size > 64 || runs < 1 || runs > 64)
            return fail(error, RUBATO_BAD_MODEL, "block %zu of %lld layers that run %lld times", i, (long long)size,
                        (long long)runs);
        config->block_size[i] = (size_t)size;
        config->block_repeats[i] = (size_t)runs;
        config->layers += (size_t)(size * runs);
    }
    return RUBATO_OK;
}

static rubato_status configure(encoder_config *config, const json_t *json, rubato_error *error) {
    const char *type, *scores;
    size_t head_size;
    bool separate, truncate, queries;
    TRY(json_refuse(json, refused, error));
    TRY(read_blocks(config, json, error));
    TRY(json_get_size(&config->decoder_layers, json, "num_decoder_layers", 2, error));
    if (config->decoder_layers > 64) return fail(error, RUBATO_BAD_MODEL, "%zu decoder layers", config->decoder_layers);
    TRY(json_get_size(&head_size, json, "d_head", 64, error));
    if (config->heads == 0 || head_size == 0 || config->hidden != config->heads * head_size)
        return fail(error, RUBATO_UNSUPPORTED, "d_model %zu with %zu heads of %zu", config->hidden, config->heads,
                    head_size);
    if (config->hidden % 2 != 0) return fail(error, RUBATO_BAD_MODEL, "d_model %zu is odd", config->hidden);
    TRY(json_get_bool(&separate, json, "separate_cls", true, error));
    TRY(json_get_bool(&truncate, json, "truncate_seq", true, error));
    TRY(json_get_bool(&queries, json, "pool_q_only", true, error));
    if (!queries) return fail(error, RUBATO_UNSUPPORTED, "pool_q_only is false: keys and values would merge too");
    TRY(json_get_text(&type, json, "pooling_type", "mean", error));
    if (strcmp(type, "mean") != 0 && strcmp(type, "max") != 0)
        return fail(error, RUBATO_UNSUPPORTED, "pooling_type \"%.40s\"", type);
    TRY(json_get_text(&scores, json, "attention_type", "factorized", error)); /* both give the same scores */
    if (strcmp(scores, "factorized") != 0 && strcmp(scores, "relative_shift") != 0)
        return fail(error, RUBATO_UNSUPPORTED, "attention_type \"%.40s\"", scores);
    config->merging = (merging){!separate, truncate, strcmp(type, "max") == 0};
    softmax_choose(&config->attention, (softmax_setting){.relative = true, .form = {.first_apart = separate}});
    config->positions = 512; /* the length with which the published models were trained; no weight depends on it */
    return RUBATO_OK;
}

#define REST(layer)                                                                                                    \
    .query = layer ".attention.q_head", .key = layer ".attention.k_head", .value = layer ".attention.v_head",          \
    .attention_out = layer ".attention.post_proj", .attention_norm = layer ".attention.layer_norm",                    \
    .up = layer ".ffn.linear_1", .down = layer ".ffn.linear_2", .output_norm = layer ".ffn.layer_norm",                \
    .relative_terms = layer ".attention"

static const tensor_names decoder = {REST("decoder.layers.%zu")};

const family family_funnel = {
    .name = "funnel",
    .model_types = {"funnel"},
    .class_names = {"Funnel"},
    .prefixes = {"funnel."},
    .defaults = {.layers = 12,
                 .hidden = 768,
                 .heads = 12,
                 .inner = 3072,
                 .vocabulary = 30522,
                 .positions = 512,
                 .types = 3,
                 .epsilon = 1e-9f,
                 .act = ACTIVATION_GELU_TANH},
    .keys = {.hidden = "d_model",
             .heads = "n_head",
             .inner = "d_inner",
             .epsilon = "layer_norm_eps",
             .act = "hidden_act",
             .hidden_dropout = "hidden_dropout",
             .attention_dropout = "attention_dropout"},
    .names = {.word = "embeddings.word_embeddings",
              .embedding_norm = "embeddings.layer_norm",
              REST("encoder.blocks.%zu.%zu")},
    .decoder = &decoder,
    .heads = {{.kind = HEAD_SEQUENCE,
               .dense = "classifier.linear_hidden",
               .act = ACTIVATION_TANH,
               .out = "classifier.linear_out"},
              {.kind = HEAD_TOKEN, .out = "classifier"},
              {.kind = HEAD_QA, .out = "qa_outputs"},
              {.kind = HEAD_MLM, .out = "lm_head"}},
    .configure = configure,
};
