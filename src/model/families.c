/* The list of families, and the code that they share. */
#include <stdio.h>
#include <string.h>

#include "attention/attending.h"
#include "base/checked.h"
#include "feeding/feeding.h"
#include "model/family.h"

extern const family family_bert, family_distilbert, family_electra, family_roberta, family_albert, family_mpnet,
    family_funnel, family_mobilebert, family_longformer, family_bigbird, family_modernbert, family_fnet,
    family_nystromformer, family_xlnet, family_nomic, family_nomic_first, family_gte, family_gte_first, family_jina,
    family_jina_alibi, family_reformer;

static const family *const families[] = {
    &family_bert,        &family_distilbert, &family_electra,       &family_roberta,    &family_albert,
    &family_mpnet,       &family_funnel,     &family_mobilebert,    &family_longformer, &family_bigbird,
    &family_modernbert,  &family_fnet,       &family_nystromformer, &family_xlnet,      &family_nomic,
    &family_nomic_first, &family_gte,        &family_gte_first,     &family_jina,       &family_jina_alibi,
    &family_reformer};

#define WIDTHS_KEY "layer_widths"

enum { FAMILY_COUNT = sizeof families / sizeof families[0] };

const family *family_find(const char *model_type) {
    if (strncmp(model_type, FOREIGN_PREFIX, strlen(FOREIGN_PREFIX)) == 0) model_type += strlen(FOREIGN_PREFIX);
    for (size_t i = 0; i < FAMILY_COUNT; i++)
        for (size_t j = 0; j < 4 && families[i]->model_types[j] && !families[i]->told_by; j++)
            if (strcmp(families[i]->model_types[j], model_type) == 0) return families[i];
    return NULL;
}

const family *family_told(const family *found, const json_t *json) {
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        const family *other = families[i];
        const json_t *value = other->told_by ? json_object_get(json, other->told_by) : NULL;
        const char *text = json_string_value(value);
        if (!value || strcmp(other->model_types[0], found->model_types[0]) != 0) continue;
        if (!other->told_value || (text && strcmp(text, other->told_value) == 0)) return other;
    }
    return found;
}

const family *family_at(size_t place) {
    return place < FAMILY_COUNT ? families[place] : NULL;
}

const family *family_of_class(const char *class_name, const char **model_type) {
    /* "RobertaPreLayerNormModel" is no class of RoBERTa's: one of these follows the name of the family */
    static const char *const rests[] = {"Model", "For", "LMHead", "BaseModel"};
    for (size_t i = 0; i < FAMILY_COUNT; i++)
        for (size_t j = 0; j < 4 && families[i]->class_names[j] && !families[i]->told_by; j++) {
            size_t length = strlen(families[i]->class_names[j]);
            if (strncmp(class_name, families[i]->class_names[j], length) != 0) continue;
            for (size_t k = 0; k < sizeof rests / sizeof rests[0]; k++)
                if (strncmp(class_name + length, rests[k], strlen(rests[k])) == 0) {
                    *model_type = families[i]->model_types[j];
                    return families[i];
                }
        }
    return NULL;
}

void family_list(char *out, size_t bytes) {
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < FAMILY_COUNT; i++)
        for (size_t j = 0; j < 4 && families[i]->model_types[j] && !families[i]->told_by && at < bytes; j++)
            at += (size_t)snprintf(out + at, bytes - at, "%s%s", at ? ", " : "", families[i]->model_types[j]);
}

/* No real encoder is near these limits; a larger value in a file is wrong. */
enum { MOST_LAYERS = 1024, MOST_WIDTH = 1 << 16, MOST_ROWS = 1 << 26, MOST_TURNS = 1 << 18 };

static rubato_status get_count(size_t *out, const json_t *json, const char *key, size_t most, rubato_error *error) {
    if (!key) return RUBATO_OK;
    TRY(json_get_size(out, json, key, *out, error));
    if (*out > most) return fail(error, RUBATO_BAD_MODEL, "\"%s\" is %zu; at most %zu makes sense", key, *out, most);
    return RUBATO_OK;
}

/* "layer_widths": {"heads": [...], "inner": [...]}, a number for each layer; either list may be missing. */
static rubato_status parse_widths(encoder_config *config, const json_t *json, rubato_error *error) {
    const json_t *object, *heads, *inner;
    TRY(json_get_object(&object, json, WIDTHS_KEY, error));
    TRY(json_get_list(&heads, object, "heads", error));
    TRY(json_get_list(&inner, object, "inner", error));
    if (!object) return RUBATO_OK;
    if (config->groups || config->blocks || config->layers > MOST_UNEVEN || (heads && !config_sorts_heads(config)))
        return fail(error, RUBATO_UNSUPPORTED, "\"" WIDTHS_KEY "\": this model's layers cannot differ");
    if ((heads && json_array_size(heads) != config->layers) || (inner && json_array_size(inner) != config->layers))
        return fail(error, RUBATO_BAD_MODEL, "\"" WIDTHS_KEY "\" has not one number for each of %zu layers",
                    config->layers);
    config->uneven = true;
    for (size_t i = 0; i < config->layers; i++) {
        json_int_t own[2] = {heads ? json_integer_value(json_array_get(heads, i)) : (json_int_t)config->heads,
                             inner ? json_integer_value(json_array_get(inner, i)) : (json_int_t)config->inner};
        if (own[0] < 1 || own[0] > MOST_WIDTH || own[1] < 1 || own[1] > MOST_WIDTH * 4)
            return fail(error, RUBATO_BAD_MODEL, "\"" WIDTHS_KEY "\" of layer %zu makes no sense", i);
        config->widths[i] = (layer_widths){(uint32_t)own[0], (uint32_t)own[1]};
    }
    return RUBATO_OK;
}

/* A part of the layers: the mechanism of all, or of most, and that of the layers of `which` (bit i: layer i). */
typedef struct parts_of_layers {
    const part_table *all;
    part_choice *usual, *other;
    uint64_t *which;
} parts_of_layers;

/* config.json's object: a mechanism, of all layers or of those in "layers". */
static rubato_status parse_part(const encoder_config *config, const parts_of_layers *part, const json_t *json,
                                rubato_error *error) {
    const char *key = part->all->key;
    const json_t *object, *layers;
    part_choice made = *part->usual;
    TRY(json_get_object(&object, json, key, error));
    TRY(part_configure(&made, part->all, json, error));
    TRY(json_get_list(&layers, object, "layers", error));
    if (!part->usual->kind) part->usual->kind = part->all->kinds[0];
    if (!layers) *part->usual = made;
    if (!layers || made.kind == part->usual->kind) return RUBATO_OK;
    if (config->groups || config->blocks || config->layers > MOST_UNEVEN || part->usual->kind != part->all->kinds[0])
        return fail(error, RUBATO_UNSUPPORTED, "\"%s\": this model's layers cannot differ", key);
    *part->other = made;
    for (size_t i = 0; i < json_array_size(layers); i++) {
        const json_t *number = json_array_get(layers, i);
        const json_int_t layer = json_integer_value(number);
        if (!json_is_integer(number) || layer < 0 || (size_t)layer >= config->layers)
            return fail(error, RUBATO_BAD_MODEL, "\"%s\" names a layer that is not there; the layers are 0 to %zu", key,
                        config->layers ? config->layers - 1 : 0);
        *part->which |= (uint64_t)1 << layer;
    }
    return RUBATO_OK;
}

static rubato_status parse_feeding(encoder_config *config, const json_t *json, rubato_error *error) {
    const parts_of_layers part = {&feeding_table, &config->feeding, &config->other_feeding, &config->other_layers};
    if (config->feeding.kind && config->feeding.kind != feeding_table.kinds[0] &&
        json_object_get(json, feeding_table.key))
        return fail(error, RUBATO_UNSUPPORTED, "\"%s\": a %s has its own", feeding_table.key, config->family);
    return parse_part(config, &part, json, error);
}

rubato_status config_parse_attention(encoder_config *config, const json_t *json, rubato_error *error) {
    const parts_of_layers part = {&attending_table, &config->attention, &config->other_attention,
                                  &config->other_attention_layers};
    const part_kind *usual = config->attention.kind;
    const bool own = config->theta[0] > 0 || (usual && part_find(&attending_table, usual->name) != usual);
    if (own && json_object_get(json, attending_table.key))
        return fail(error, RUBATO_UNSUPPORTED, "\"%s\": a %s has its own", attending_table.key, config->family);
    return own ? RUBATO_OK : parse_part(config, &part, json, error);
}

void config_choose_rotary(encoder_config *config, double theta) {
    extern const feeding feeding_gated;
    config->theta[0] = theta;
    part_choose(&config->attention, attending_table.kinds[0], NULL, 0);
    part_choose(&config->feeding, &feeding_gated.part, NULL, 0);
}

rubato_status config_read_theta(double *out, const json_t *rope, rubato_error *error) {
    const char *type;
    TRY(json_get_text(&type, rope, "rope_type", "default", error));
    if (strcmp(type, "default") != 0)
        return fail(error, RUBATO_UNSUPPORTED, "rope_type \"%.40s\": only \"default\" is known", type);
    TRY(json_get_real(out, rope, "rope_theta", *out, error));
    return *out >= 1 && *out < 1e12 ? RUBATO_OK
                                    : fail(error, RUBATO_BAD_MODEL, "a theta of rotary positions is %g", *out);
}

bool config_sorts_heads(const encoder_config *config) {
    return attending_sorts(&config->attention) &&
           (!config->other_attention_layers || attending_sorts(&config->other_attention));
}

rubato_status config_check_length(const encoder_config *config, const char *model, rubato_error *error) {
    TRY(attending_check_length(&config->attention, model, error));
    return config->other_attention_layers ? attending_check_length(&config->other_attention, model, error) : RUBATO_OK;
}

static rubato_status note_widths(const encoder_config *config, json_t *json, rubato_error *error) {
    json_t *heads = json_array(), *inner = json_array();
    int failed = 0;
    for (size_t i = 0; i < config->layers; i++) {
        failed |= json_array_append_new(heads, json_integer(config->widths[i].heads));
        failed |= json_array_append_new(inner, json_integer(config->widths[i].inner));
    }
    failed |= json_object_set_new(json, WIDTHS_KEY, json_pack("{s:o, s:o}", "heads", heads, "inner", inner));
    return failed ? fail_memory(error) : RUBATO_OK;
}

static rubato_status note_part(const encoder_config *config, const parts_of_layers *part, json_t *json,
                               rubato_error *error) {
    const part_choice *choice = *part->which ? part->other : part->usual;
    json_t *layers = NULL;
    json_object_del(json, part->all->key);
    TRY(part_note(choice, part->all, json, error));
    if (!*part->which || !part_is_foreign(choice)) return RUBATO_OK;
    layers = json_array();
    for (size_t i = 0; i < config->layers && i < MOST_UNEVEN; i++)
        if (*part->which >> i & 1) json_add(&layers, json_integer((json_int_t)i));
    return json_set(json_object_get(json, part->all->key), "layers", layers, error);
}

static rubato_status note_parts(const encoder_config *config, json_t *json, rubato_error *error) {
    encoder_config own = *config;
    const parts_of_layers attention = {&attending_table, &own.attention, &own.other_attention,
                                       &own.other_attention_layers};
    const parts_of_layers forward = {&feeding_table, &own.feeding, &own.other_feeding, &own.other_layers};
    TRY(note_part(config, &attention, json, error));
    return note_part(config, &forward, json, error);
}

/* transformers' list of the mechanisms of a family that has two: of ModernBERT, and of Reformer. */
static rubato_status note_mechanisms(const encoder_config *config, json_t *json, rubato_error *error) {
    static const char *const keys[] = {"layer_types", "attn_layers"};
    static const char *const names[][2] = {{"full_attention", "sliding_attention"}, {"lsh", "local"}};
    json_t *types = json_array();
    for (size_t i = 0; i < config->layers; i++)
        json_add(&types,
                 json_string(names[config->two_streams][config_attention(config, i) == &config->other_attention]));
    return json_set(json, keys[config->two_streams], types, error);
}

rubato_status config_note(const encoder_config *config, json_t *json, rubato_error *error) {
    const char *type = json_string_value(json_object_get(json, "model_type"));
    const bool mixed = config->other_attention_layers && part_is_foreign(&config->other_attention);
    bool foreign = part_is_foreign(&config->attention) || mixed || part_is_foreign(&config->feeding) ||
                   config->uneven || config->other_layers || (config->first_norm && !config->two_streams) ||
                   config->words || config->attended_head;
    TRY(note_parts(config, json, error));
    if (config->attended_head) TRY(json_set(json, HEAD_POOLING_KEY, json_string("attention"), error));
    if (config->words) TRY(json_set(json, WORDS_KEY, json_integer((json_int_t)config->words), error));
    if (config->uneven) TRY(note_widths(config, json, error));
    if (config->other_attention.implied) TRY(note_mechanisms(config, json, error));
    if (config->causal) TRY(json_set(json, "is_decoder", json_true(), error));
    const size_t prefix = strlen(FOREIGN_PREFIX);
    if (!type || foreign == (strncmp(type, FOREIGN_PREFIX, prefix) == 0)) return RUBATO_OK;
    return json_set(json, "model_type", foreign ? json_sprintf(FOREIGN_PREFIX "%s", type) : json_string(type + prefix),
                    error);
}

rubato_status config_check_causal(const encoder_config *config, const family *kind, rubato_error *error) {
    const attending *mechanism = attending_of(&config->attention);
    if (mechanism->decodes && config->other_attention_layers) mechanism = attending_of(&config->other_attention);
    if (!kind->causal_class)
        return fail(error, RUBATO_UNSUPPORTED, "a causal model (is_decoder) of the family %s", kind->name);
    if (!mechanism->decodes)
        return fail(error, RUBATO_UNSUPPORTED, "%s attention does not run causally (is_decoder)", mechanism->part.name);
    return RUBATO_OK;
}

rubato_status config_parse(encoder_config *config, const family *kind, const json_t *json, rubato_error *error) {
    const config_keys *keys = &kind->keys;
    *config = kind->defaults;
    config->family = kind->name;
    TRY(config_refuse(json, error));
    TRY(get_count(&config->layers, json, keys->layers, MOST_LAYERS, error));
    TRY(get_count(&config->layers, json, keys->layers ? SECOND_LAYERS : NULL, MOST_LAYERS, error));
    TRY(get_count(&config->hidden, json, keys->hidden, MOST_WIDTH, error));
    TRY(get_count(&config->hidden, json, SECOND_HIDDEN, MOST_WIDTH, error));
    TRY(get_count(&config->heads, json, keys->heads, MOST_WIDTH, error));
    TRY(get_count(&config->heads, json, SECOND_HEADS, MOST_WIDTH, error));
    TRY(get_count(&config->inner, json, keys->inner, MOST_WIDTH * 4, error));
    TRY(get_count(&config->positions, json, keys->positions, MOST_ROWS, error));
    config->positions += config->uncounted;
    TRY(get_count(&config->types, json, keys->types, MOST_WIDTH, error));
    TRY(get_count(&config->embedding, json, keys->embedding, MOST_WIDTH, error));
    TRY(get_count(&config->vocabulary, json, "vocab_size", MOST_ROWS, error));
    if (config->embedding == 0) config->embedding = config->hidden;
    TRY(get_count(&config->words, json, WORDS_KEY, MOST_WIDTH, error));
    if (config->words && (kind->names.projection || config->words >= config->hidden))
        return fail(error, RUBATO_BAD_MODEL, "\"" WORDS_KEY "\" %zu is not below %zu, or a %s has its own",
                    config->words, config->hidden, kind->name);
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
    double hidden_dropout, attention_dropout, usual = keys->undropped ? 0 : 0.1;
    TRY(json_get_real(&hidden_dropout, json, keys->hidden_dropout ? keys->hidden_dropout : "hidden_dropout_prob", usual,
                      error));
    TRY(json_get_real(&attention_dropout, json,
                      keys->attention_dropout ? keys->attention_dropout : "attention_probs_dropout_prob", usual,
                      error));
    if (!(hidden_dropout >= 0 && hidden_dropout < 1 && attention_dropout >= 0 && attention_dropout < 1))
        return fail(error, RUBATO_BAD_MODEL, "a dropout rate of config.json is not in [0, 1)");
    config->hidden_dropout = (float)hidden_dropout;
    config->attention_dropout = (float)attention_dropout;
    bool tied;
    TRY(json_get_bool(&tied, json, "tie_word_embeddings", true, error));
    config->untied = !tied;
    const char *act;
    TRY(json_get_text(&act, json, keys->act, NULL, error));
    if (act) TRY(activation_find(&config->act, keys->act, act, error));
    const char *positions, *pooled;
    TRY(json_get_text(&positions, json, "position_embedding_type", "absolute", error));
    if (strcmp(positions, kind->places ? kind->places : "absolute") != 0)
        return fail(error, RUBATO_UNSUPPORTED, "position_embedding_type \"%.40s\"", positions);
    if (kind->configure) TRY(kind->configure(config, json, error));
    if (config->theta[0] > 0 && config->positions > MOST_TURNS)
        return fail(error, RUBATO_UNSUPPORTED, "rotary positions of %zu tokens; at most %d", config->positions,
                    MOST_TURNS);
    TRY(json_get_text(&pooled, json, HEAD_POOLING_KEY, "", error));
    if (*pooled && strcmp(pooled, "attention") != 0)
        return fail(error, RUBATO_UNSUPPORTED, "\"" HEAD_POOLING_KEY "\" is \"%.40s\"; attention is known", pooled);
    config->attended_head = *pooled != 0;
    TRY(config_parse_attention(config, json, error));
    TRY(parse_feeding(config, json, error));
    const json_t *decoder = json_object_get(json, "is_decoder");
    if (!json_is_integer(decoder) || json_integer_value(decoder) != 0) /* 0 is false for transformers */
        TRY(json_get_bool(&config->causal, json, "is_decoder", false, error));
    if (config->causal) TRY(config_check_causal(config, kind, error));
    if (!config->hidden || !config->heads || !config->inner || !config->vocabulary || !config->embedding ||
        config->positions <= config->first_position)
        return fail(error, RUBATO_BAD_MODEL, "a size in config.json is zero");
    if (!config->attended && config->hidden % config->heads != 0)
        return fail(error, RUBATO_BAD_MODEL, "hidden size %zu is not a multiple of %zu heads", config->hidden,
                    config->heads);
    return parse_widths(config, json, error);
}
