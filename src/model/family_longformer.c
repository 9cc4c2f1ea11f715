/* Longformer (Beltagy et al. 2020): RoBERTa with windows of attention. As in transformers, the first token is global
 * where sequences are classified, the question where it is answered, and no token otherwise. */
#include <string.h>

#include "attention/longformer_attention.h"
#include "model/family.h"

static rubato_status read_window(size_t *out, const json_t *json, rubato_error *error) {
    const json_t *list = json_object_get(json, "attention_window"), *one;
    size_t i;
    *out = 512;
    if (!json_is_array(list)) return json_get_size(out, json, "attention_window", 512, error);
    json_array_foreach(list, i, one) {
        if (!json_is_integer(one) || json_integer_value(one) < 0)
            return fail(error, RUBATO_BAD_MODEL, "\"attention_window\" is not a list of whole numbers");
        if (json_integer_value(one) != json_integer_value(json_array_get(list, 0)))
            return fail(error, RUBATO_UNSUPPORTED, "\"attention_window\" differs between layers");
        *out = (size_t)json_integer_value(one);
    }
    return RUBATO_OK;
}

static bool is_for(const json_t *json, const char *task) {
    const char *name = json_string_value(json_array_get(json_object_get(json, "architectures"), 0));
    return name && strstr(name, task);
}

static rubato_status configure(encoder_config *config, const json_t *json, rubato_error *error) {
    longformer_setting setting = {.separator = -1, .own_weights = true};
    size_t separator;
    TRY(read_window(&setting.window, json, error));
    TRY(json_get_size(&separator, json, "sep_token_id", 2, error));
    if (setting.window % 2 || setting.window > LONGFORMER_WIDEST || separator > INT32_MAX)
        return fail(error, RUBATO_BAD_MODEL, "\"attention_window\" %zu is odd or too large", setting.window);
    setting.globals = is_for(json, "ForSequenceClassification");
    if (is_for(json, "ForQuestionAnswering")) setting.separator = (int32_t)separator;
    longformer_choose(&config->attention, setting);
    config->first_position = (size_t)config->pad + 1;
    config->count_pads = true;
    return RUBATO_OK;
}

const family family_longformer = {
    .name = "longformer",
    .model_types = {"longformer"},
    .class_names = {"Longformer"},
    .prefixes = {"longformer."},
    .defaults = {.layers = 12,
                 .hidden = 768,
                 .heads = 12,
                 .inner = 3072,
                 .vocabulary = 30522,
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
