/* The list of families, and what they share. */
#include <stdio.h>
#include <string.h>

#include "attention/attending.h"
#include "base/checked.h"
#include "feeding/feeding.h"
#include "model/family.h"

extern const family family_bert, family_distilbert, family_electra, family_roberta, family_albert, family_mpnet,
    family_funnel;

static const family *const families[] = {&family_bert,   &family_distilbert, &family_electra, &family_roberta,
                                         &family_albert, &family_mpnet,      &family_funnel};

enum { FAMILY_COUNT = sizeof families / sizeof families[0] };

const family *family_find(const char *model_type) {
    if (strncmp(model_type, FOREIGN_PREFIX, strlen(FOREIGN_PREFIX)) == 0) model_type += strlen(FOREIGN_PREFIX);
    for (size_t i = 0; i < FAMILY_COUNT; i++)
        for (size_t j = 0; j < 4 && families[i]->model_types[j]; j++)
            if (strcmp(families[i]->model_types[j], model_type) == 0) return families[i];
    return NULL;
}

void family_list(char *out, size_t bytes) {
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < FAMILY_COUNT; i++)
        for (size_t j = 0; j < 4 && families[i]->model_types[j] && at < bytes; j++)
            at += (size_t)snprintf(out + at, bytes - at, "%s%s", at ? ", " : "", families[i]->model_types[j]);
}

bool activation_find(activation *act, const char *name) {
    static const struct {
        const char *name;
        activation act;
    } names[] = {{"gelu", ACTIVATION_GELU},           {"gelu_python", ACTIVATION_GELU},
                 {"gelu_new", ACTIVATION_GELU_TANH},  {"gelu_pytorch_tanh", ACTIVATION_GELU_TANH},
                 {"gelu_fast", ACTIVATION_GELU_TANH}, {"quick_gelu", ACTIVATION_QUICK_GELU},
                 {"relu", ACTIVATION_RELU},           {"silu", ACTIVATION_SILU},
                 {"swish", ACTIVATION_SILU},          {"tanh", ACTIVATION_TANH}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i].name, name) == 0) {
            *act = names[i].act;
            return true;
        }
    return false;
}

/* No real encoder comes near these; a file that says more is lying. */
enum { MOST_LAYERS = 1024, MOST_WIDTH = 1 << 16, MOST_ROWS = 1 << 26 };

static rubato_status get_count(size_t *out, const json_t *json, const char *key, size_t most, rubato_error *error) {
    if (!key) return RUBATO_OK;
    TRY(json_get_size(out, json, key, *out, error));
    if (*out > most) return fail(error, RUBATO_BAD_MODEL, "\"%s\" is %zu; at most %zu makes sense", key, *out, most);
    return RUBATO_OK;
}

rubato_status config_parse(encoder_config *config, const family *kind, const json_t *json, rubato_error *error) {
    const config_keys *keys = &kind->keys;
    *config = kind->defaults;
    config->family = kind->name;
    TRY(get_count(&config->layers, json, keys->layers, MOST_LAYERS, error));
    TRY(get_count(&config->hidden, json, keys->hidden, MOST_WIDTH, error));
    TRY(get_count(&config->heads, json, keys->heads, MOST_WIDTH, error));
    TRY(get_count(&config->inner, json, keys->inner, MOST_WIDTH * 4, error));
    TRY(get_count(&config->positions, json, keys->positions, MOST_ROWS, error));
    TRY(get_count(&config->types, json, keys->types, MOST_WIDTH, error));
    TRY(get_count(&config->embedding, json, keys->embedding, MOST_WIDTH, error));
    TRY(get_count(&config->vocabulary, json, "vocab_size", MOST_ROWS, error));
    if (config->embedding == 0) config->embedding = config->hidden;
    size_t pad = (size_t)config->pad;
    TRY(get_count(&pad, json, "pad_token_id", MOST_ROWS, error));
    config->pad = (int32_t)pad;
    if (keys->epsilon) {
        double epsilon;
        TRY(json_get_real(&epsilon, json, keys->epsilon, (double)config->epsilon, error));
        if (!(epsilon >= 0 && epsilon < 1))
            return fail(error, RUBATO_BAD_MODEL, "\"%s\" is %g", keys->epsilon, epsilon);
        config->epsilon = (float)epsilon;
    }
    double hidden_dropout, attention_dropout;
    TRY(json_get_real(&hidden_dropout, json, keys->hidden_dropout ? keys->hidden_dropout : "hidden_dropout_prob", 0.1,
                      error));
    TRY(json_get_real(&attention_dropout, json,
                      keys->attention_dropout ? keys->attention_dropout : "attention_probs_dropout_prob", 0.1, error));
    if (!(hidden_dropout >= 0 && hidden_dropout < 1 && attention_dropout >= 0 && attention_dropout < 1))
        return fail(error, RUBATO_BAD_MODEL, "a dropout rate of config.json is not in [0, 1)");
    config->hidden_dropout = (float)hidden_dropout;
    config->attention_dropout = (float)attention_dropout;
    const char *act;
    TRY(json_get_text(&act, json, keys->act, NULL, error));
    if (act && !activation_find(&config->act, act)) return fail(error, RUBATO_UNSUPPORTED, "activation \"%.40s\"", act);
    const char *positions;
    TRY(json_get_text(&positions, json, "position_embedding_type", "absolute", error));
    if (strcmp(positions, "absolute") != 0)
        return fail(error, RUBATO_UNSUPPORTED, "position_embedding_type \"%.40s\"", positions);
    if (kind->configure) TRY(kind->configure(config, json, error));
    TRY(part_configure(&config->attention, &attending_table, json, error));
    TRY(part_configure(&config->feeding, &feeding_table, json, error));
    if (!config->hidden || !config->heads || !config->inner || !config->vocabulary || !config->embedding ||
        config->positions <= config->first_position)
        return fail(error, RUBATO_BAD_MODEL, "a size in config.json is zero");
    if (config->hidden % config->heads != 0)
        return fail(error, RUBATO_BAD_MODEL, "hidden size %zu is not a multiple of %zu heads", config->hidden,
                    config->heads);
    return RUBATO_OK;
}
