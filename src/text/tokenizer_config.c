/* tokenizer_config.json: what it says over tokenizer.json and vocab.txt. (The order of precedence is that of
 * transformers' fast tokenizers.) */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer_build.h"

/* ---- Classes ---- */

static const tokenizer_class classes[] = {
    {{"Bert", "DistilBert", "Electra", "MobileBert", "ConvBert", "SqueezeBert", "LayoutLM"},
     {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"},
     false,
     0},
    {{"MPNet"}, {"[UNK]", "<s>", "</s>", "<pad>", "<mask>"}, true, 0},
    {{"Funnel"}, {"<unk>", "<cls>", "<sep>", "<pad>", "<mask>"}, false, 2}};

rubato_status tokenizer_class_find(const tokenizer_class **out, bool *named, const char *folder, const json_t *config,
                                   rubato_error *error) {
    char path[4096];
    const char *name, *type = NULL;
    json_t *model = NULL;
    *out = NULL;
    *named = false;
    TRY(json_get_text(&name, config, "tokenizer_class", NULL, error));
    snprintf(path, sizeof path, "%.4000s/config.json", folder);
    if (path_exists(path)) TRY(json_read_file(&model, path, TOKENIZER_FILE_BYTES, error));
    rubato_status status = json_get_text(&type, model, "model_type", NULL, error);
    if (status == RUBATO_OK && !name) status = json_get_text(&name, model, "tokenizer_class", NULL, error);
    *named = name != NULL;
    size_t length = name ? (size_t)(strstr(name, "Tokenizer") ? strstr(name, "Tokenizer") - name : 0) : 0;
    for (size_t i = 0; i < sizeof classes / sizeof *classes && status == RUBATO_OK; i++)
        for (size_t k = 0; classes[i].names[k]; k++) {
            const char *known = classes[i].names[k];
            bool this_one = name ? strlen(known) == length && strncmp(known, name, length) == 0
                                 : type && strcasecmp(known, type) == 0;
            if (this_one) *out = &classes[i];
        }
    json_decref(model);
    return status;
}

const tokenizer_class *tokenizer_class_default(void) {
    return &classes[0];
}

/* ---- Added tokens ---- */

static bool is_added(const tokenizer *self, const char *content) {
    for (size_t i = 0; i < self->added_count; i++)
        if (strcmp(self->added[i].content, content) == 0) return true;
    return false;
}

/* A token of the vocabulary keeps its id; another one gets the next. */
static rubato_status add_later(tokenizer *self, const added_token *like, const char *content, rubato_error *error) {
    if (is_added(self, content)) return RUBATO_OK;
    int32_t id = tokenizer_id(self, content);
    return tokenizer_add_added(self, like, content, strlen(content), id >= 0 ? id : (long long)self->vocabulary, error);
}

/* A token: its content, or an object with its properties. `special`: the default. */
static rubato_status add_described(tokenizer *self, const json_t *item, bool special, rubato_error *error) {
    added_token like = {.special = special, .normalized = false};
    const char *content = json_string_value(item);
    if (json_is_object(item)) {
        TRY(json_get_text(&content, item, "content", NULL, error));
        TRY(json_get_bool(&like.special, item, "special", special, error));
        TRY(json_get_bool(&like.normalized, item, "normalized", !like.special, error));
        TRY(json_get_bool(&like.single_word, item, "single_word", false, error));
        TRY(json_get_bool(&like.left_strip, item, "lstrip", false, error));
        TRY(json_get_bool(&like.right_strip, item, "rstrip", false, error));
    }
    if (!content) return fail(error, RUBATO_BAD_MODEL, "tokenizer_config.json: an added token without its content");
    return add_later(self, &like, content, error);
}

typedef struct numbered {
    long long id;
    const json_t *token;
    const char *name;
} numbered;

static int by_id(const void *a, const void *b) {
    long long x = ((const numbered *)a)->id, y = ((const numbered *)b)->id;
    return x < y ? -1 : x > y;
}

/* "added_tokens_decoder": {"141": {...}}, or added_tokens.json: {"[E1]": 141}, in the order of their ids. */
static rubato_status add_numbered(tokenizer *self, const json_t *map, rubato_error *error) {
    size_t count = 0;
    numbered *all = calloc(json_object_size(map) + 1, sizeof *all);
    if (!all) return fail_memory(error);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value) {
        bool number = json_is_integer(value);
        all[count++] =
            (numbered){number ? json_integer_value(value) : strtoll(key, NULL, 10), number ? NULL : value, key};
    }
    qsort(all, count, sizeof *all, by_id);
    rubato_status status = RUBATO_OK;
    for (size_t i = 0; i < count && status == RUBATO_OK; i++)
        status = all[i].token ? add_described(self, all[i].token, false, error)
                              : add_later(self, &(added_token){.normalized = true}, all[i].name, error);
    free(all);
    return status;
}

static rubato_status add_specials(tokenizer *self, const json_t *config, rubato_error *error) {
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                       "pad_token", "cls_token", "mask_token"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *item = json_object_get(config, keys[i]);
        if (json_is_string(item) || json_is_object(item)) TRY(add_described(self, item, true, error));
    }
    const json_t *more;
    TRY(json_get_list(&more, config, "additional_special_tokens", error));
    for (size_t i = 0; i < json_array_size(more); i++) TRY(add_described(self, json_array_get(more, i), true, error));
    return RUBATO_OK;
}

static rubato_status read_beside(json_t **out, const char *folder, const char *name, rubato_error *error) {
    char path[4096];
    *out = NULL;
    snprintf(path, sizeof path, "%.4000s/%s", folder, name);
    return path_exists(path) ? json_read_file(out, path, TOKENIZER_FILE_BYTES, error) : RUBATO_OK;
}

/* ---- The normaliser ---- */

/* These classes build their normaliser from tokenizer_config.json and their own defaults, not from tokenizer.json. */
static rubato_status set_normalizer(tokenizer *self, const json_t *config, rubato_error *error) {
    for (size_t i = 0; i < self->normalizer.count; i++) {
        normalizer_step *step = &self->normalizer.steps[i];
        if (step->kind != NORMALIZE_BERT) continue;
        TRY(json_get_bool(&step->lower, config, "do_lower_case", true, error));
        TRY(json_get_bool(&step->accents, config, "strip_accents", step->lower, error));
        TRY(json_get_bool(&step->cjk, config, "tokenize_chinese_chars", true, error));
    }
    return RUBATO_OK;
}

rubato_status tokenizer_configure(tokenizer *self, const tokenizer_class *class, const char *folder,
                                  const json_t *config, rubato_error *error) {
    const json_t *decoder;
    json_t *specials = NULL, *added = NULL;
    if (class) TRY(set_normalizer(self, config, error));
    TRY(json_get_object(&decoder, config, "added_tokens_decoder", error));
    rubato_status status = decoder ? RUBATO_OK : read_beside(&added, folder, "added_tokens.json", error);
    if (status == RUBATO_OK) status = read_beside(&specials, folder, "special_tokens_map.json", error);
    if (status == RUBATO_OK) status = add_numbered(self, decoder ? decoder : added, error);
    if (status == RUBATO_OK) status = add_specials(self, config, error);
    if (status == RUBATO_OK) status = add_specials(self, specials, error);
    json_decref(specials);
    json_decref(added);
    return status;
}
