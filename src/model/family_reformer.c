/* Reformer (Kitaev et al. 2020) as an encoder: layers of two streams, of which some sort tokens by a hash and the
 * others see neighbours; axial positions. Without "hash_seed" the hash's directions are random in transformers, and
 * those of the seed 0 here. Texts are chunked as there, where they are padded to whole chunks. */
#include <string.h>

#include "attention/reformer_attention.h"
#include "model/family.h"

enum { MOST_CHUNK = 1 << 16, MOST_NEIGHBOURS = 6 };

static size_t common_divisor(size_t a, size_t b) {
    while (b) {
        const size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static rubato_status read_pair(size_t out[2], const json_t *json, const char *key, const size_t usual[2],
                               rubato_error *error) {
    const json_t *list;
    TRY(json_get_list(&list, json, key, error));
    for (size_t i = 0; i < 2; i++) {
        const json_t *item = json_array_get(list, i);
        const json_int_t value = list ? json_integer_value(item) : (json_int_t)usual[i];
        if (value < 1 || value > 1 << 24 || (list && json_array_size(list) != 2))
            return fail(error, RUBATO_BAD_MODEL, "\"%s\" is no pair of numbers", key);
        out[i] = (size_t)value;
    }
    return RUBATO_OK;
}

static rubato_status read_positions(encoder_config *config, const json_t *json, rubato_error *error) {
    static const size_t usual_shape[2] = {64, 64}, usual_widths[2] = {64, 192};
    size_t shape[2], widths[2];
    bool axial;
    TRY(json_get_bool(&axial, json, "axial_pos_embds", true, error));
    if (!axial) return RUBATO_OK;
    TRY(read_pair(shape, json, "axial_pos_shape", usual_shape, error));
    TRY(read_pair(widths, json, "axial_pos_embds_dim", usual_widths, error));
    if (widths[0] + widths[1] != config->hidden)
        return fail(error, RUBATO_BAD_MODEL, "\"axial_pos_embds_dim\" has not %zu features together", config->hidden);
    for (size_t i = 0; i < 2; i++) {
        config->axes[i].rows = shape[i];
        config->axes[i].width = widths[i];
    }
    if (config->positions > shape[0] * shape[1]) config->positions = shape[0] * shape[1];
    return RUBATO_OK;
}

/* "attn_layers": which layers are local. They are the layers of the other mechanism. */
static rubato_status read_layers(encoder_config *config, const json_t *json, bool found[2], rubato_error *error) {
    static const char *const usual[] = {"local", "lsh", "local", "lsh", "local", "lsh"};
    const json_t *list;
    TRY(json_get_list(&list, json, "attn_layers", error));
    config->layers = list ? json_array_size(list) : sizeof usual / sizeof usual[0];
    if (config->layers > MOST_UNEVEN)
        return fail(error, RUBATO_UNSUPPORTED, "\"attn_layers\" has more than %d layers", MOST_UNEVEN);
    for (size_t i = 0; i < config->layers; i++) {
        const char *name = list ? json_string_value(json_array_get(list, i)) : usual[i];
        const bool local = name && strcmp(name, "local") == 0;
        if (!local && (!name || strcmp(name, "lsh") != 0))
            return fail(error, RUBATO_UNSUPPORTED, "\"attn_layers\": \"local\" and \"lsh\" are known");
        if (local) config->other_attention_layers |= (uint64_t)1 << i;
        found[local] = true;
    }
    return RUBATO_OK;
}

typedef struct chunking {
    size_t chunk, before, after;
} chunking;

static rubato_status read_chunks(chunking *out, const json_t *json, const char *kind, rubato_error *error) {
    char key[64];
    snprintf(key, sizeof key, "%s_attn_chunk_length", kind);
    TRY(json_get_size(&out->chunk, json, key, 64, error));
    snprintf(key, sizeof key, "%s_num_chunks_before", kind);
    TRY(json_get_size(&out->before, json, key, 1, error));
    snprintf(key, sizeof key, "%s_num_chunks_after", kind);
    TRY(json_get_size(&out->after, json, key, 0, error));
    if (out->chunk == 0 || out->chunk > MOST_CHUNK || out->before > MOST_NEIGHBOURS || out->after > MOST_NEIGHBOURS)
        return fail(error, RUBATO_BAD_MODEL, "chunks of %s attention of %zu tokens, with %zu before and %zu after",
                    kind, out->chunk, out->before, out->after);
    return RUBATO_OK;
}

static rubato_status read_buckets(reformer_setting *out, const encoder_config *config, const json_t *json,
                                  rubato_error *error) {
    const json_t *buckets = json_object_get(json, "num_buckets");
    size_t factors[2] = {0, 0}, root = 0;
    while ((root + 1) * (root + 1) <= config->positions / out->chunk) root++;
    out->most = (uint32_t)(2 * (root > out->chunk ? root : out->chunk));
    if (json_is_array(buckets) && json_array_size(buckets) == 2)
        TRY(read_pair(factors, json, "num_buckets", factors, error));
    else if (!json_is_array(buckets))
        TRY(json_get_size(&factors[0], json, "num_buckets", 0, error));
    if (json_is_array(buckets) && !factors[0])
        return fail(error, RUBATO_UNSUPPORTED, "\"num_buckets\": a number or a pair of numbers is known");
    out->buckets = factors[0];
    out->second = (uint32_t)(factors[1] < UINT32_MAX ? factors[1] : UINT32_MAX);
    return reformer_check(out, error);
}

static rubato_status configure(encoder_config *config, const json_t *json, rubato_error *error) {
    chunking hashed, local;
    size_t seed, head;
    bool found[2] = {false, false};
    TRY(read_positions(config, json, error));
    TRY(read_layers(config, json, found, error));
    TRY(json_get_size(&head, json, "attention_head_size", 64, error));
    if (head == 0 || head > MOST_CHUNK) return fail(error, RUBATO_BAD_MODEL, "\"attention_head_size\" is %zu", head);
    config->attended = head * config->heads;
    TRY(read_chunks(&hashed, json, "lsh", error));
    TRY(read_chunks(&local, json, "local", error));
    const size_t both = hashed.chunk / common_divisor(hashed.chunk, local.chunk) * local.chunk;
    const size_t multiple = found[0] && found[1] ? both : found[1] ? local.chunk : hashed.chunk;
    const size_t shorter = hashed.chunk < local.chunk ? hashed.chunk : local.chunk;
    const size_t shortest = found[0] && found[1] ? shorter : multiple;
    const bool seeded = json_is_integer(json_object_get(json, "hash_seed"));
    reformer_setting sorted = {.chunk = hashed.chunk,
                               .multiple = (uint32_t)multiple,
                               .shortest = (uint32_t)shortest,
                               .before = (uint8_t)hashed.before,
                               .after = (uint8_t)hashed.after,
                               .torch = true};
    const local_setting near = {local.chunk, local.before, local.after, multiple, shortest};
    TRY(json_get_size(&seed, json, seeded ? "hash_seed" : "", 0, error));
    TRY(json_get_size(&sorted.rounds, json, "num_hashes", 1, error));
    sorted.seed = seed;
    TRY(read_buckets(&sorted, config, json, error));
    if (config->attended * sorted.rounds < 16)
        return fail(error, RUBATO_UNSUPPORTED, "heads of fewer than 16 features together");
    config->untied = !json_truth(json_object_get(json, "tie_word_embeddings"));
    config->pre_norm = config->two_streams = true;
    part_choose(&config->attention, &attending_reformer.part, &sorted, sizeof sorted);
    part_choose(&config->other_attention, &attending_local.part, &near, sizeof near);
    return RUBATO_OK;
}

#define ATTENTION "encoder.layers.%zu.attention."
#define FEEDING "encoder.layers.%zu.feed_forward."

const family family_reformer = {
    .name = "reformer",
    .model_types = {"reformer"},
    .class_names = {"Reformer"},
    .prefixes = {"reformer."},
    .defaults = {.layers = 6,
                 .hidden = 256,
                 .heads = 12,
                 .inner = 512,
                 .vocabulary = 320,
                 .positions = 4096,
                 .epsilon = 1e-12f,
                 .act = ACTIVATION_RELU},
    .keys = {.layers = SECOND_LAYERS, /* written beside "attn_layers", which counts */
             .hidden = "hidden_size",
             .heads = "num_attention_heads",
             .inner = "feed_forward_size",
             .positions = "max_position_embeddings",
             .epsilon = "layer_norm_eps",
             .act = "hidden_act",
             .attention_dropout = "lsh_attention_probs_dropout_prob"},
    .names = {.word = "embeddings.word_embeddings",
              .position = "embeddings.position_embeddings.embedding",
              .axes = "embeddings.position_embeddings.weights",
              .query_key = ATTENTION "self_attention.query_key",
              .query = ATTENTION "self_attention.query",
              .key = ATTENTION "self_attention.key",
              .value = ATTENTION "self_attention.value",
              .attention_out = ATTENTION "output.dense",
              .attention_norm = ATTENTION "layer_norm",
              .up = FEEDING "dense.dense",
              .down = FEEDING "output.dense",
              .output_norm = FEEDING "layer_norm",
              .final_norm = "encoder.layer_norm"},
    .heads =
        {{.kind = HEAD_SEQUENCE, .dense = "classifier.dense", .act = ACTIVATION_TANH, .out = "classifier.out_proj"},
         {.kind = HEAD_QA, .out = "qa_outputs"},
         {.kind = HEAD_MLM, .out = "lm_head.decoder", .out_bias = "lm_head.bias"}},
    .configure = configure,
};
