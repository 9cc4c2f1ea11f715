/* tokenizer_config.json: what it says over tokenizer.json and the files before it. (The order of precedence is that of
 * transformers' fast tokenizers.) */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text_buffer.h"
#include "text/tokenizer_class.h"

/* ---- Added tokens ---- */

/* A token of the vocabulary keeps its id; another one gets the next. */
static rubato_status add_later(tokenizer *self, const added_token *like, const char *content, rubato_error *error) {
    int32_t id = tokenizer_id(self, content);
    return tokenizer_add_added(self, like, content, strlen(content), id >= 0 ? id : (long long)self->vocabulary, error);
}

/* A token: its content, which has the properties of `like`, or an object with its properties. */
static rubato_status add_described(tokenizer *self, const json_t *item, added_token like, rubato_error *error) {
    const char *content = json_string_value(item);
    if (json_is_object(item)) {
        TRY(json_get_text(&content, item, "content", NULL, error));
        TRY(json_get_bool(&like.special, item, "special", like.special, error));
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

static const added_token special_token_like = {.special = true};

/* The lists of special tokens beside the seven that have a key of their own. A list of extra_special_tokens replaces
 * the other; an object gives names to its tokens. */
static rubato_status more_specials(const json_t *lists[2], const json_t *config, rubato_error *error) {
    const json_t *extra = json_object_get(config, "extra_special_tokens");
    lists[0] = extra;
    if (extra && !json_is_null(extra) && !json_is_array(extra) && !json_is_object(extra))
        return fail(error, RUBATO_BAD_MODEL, "\"extra_special_tokens\" is neither a list nor an object");
    TRY(json_get_list(&lists[1], config, "additional_special_tokens", error));
    if (json_array_size(extra) > 0) lists[1] = NULL;
    return RUBATO_OK;
}

static rubato_status add_more(tokenizer *self, const json_t *list, rubato_error *error) {
    const char *key;
    json_t *value;
    for (size_t i = 0; i < json_array_size(list); i++)
        TRY(add_described(self, json_array_get(list, i), special_token_like, error));
    json_object_foreach((json_t *)(uintptr_t)list, key, value)
        TRY(add_described(self, value, special_token_like, error));
    return RUBATO_OK;
}

/* Keys of a model's own: "image_token" names a special token too. */
static rubato_status add_named(tokenizer *self, const json_t *config, rubato_error *error) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)config, key, value) {
        bool names = text_ends_with(key, "_token") && (json_is_string(value) || json_object_get(value, "content"));
        for (size_t i = 0; i < SPECIAL_TOKENS; i++) names = names && strcmp(key, special_keys[i]) != 0;
        if (names) TRY(add_described(self, value, special_token_like, error));
    }
    return RUBATO_OK;
}

static bool lists_token(const json_t *list, const char *name) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const char *content = json_string_value(json_is_object(item) ? json_object_get(item, "content") : item);
        if (content && strcmp(content, name) == 0) return true;
    }
    return false;
}

static const tokenizer_class none; /* it has no tokens of its own */

/* Whether tokenizer_config.json says that a token is special. */
static bool names_special(const json_t *config, const json_t *const lists[2], const char *name) {
    for (int i = 0; i < SPECIAL_TOKENS; i++) {
        const char *special = tokenizer_class_token(&none, (special_token)i, config);
        if (special && strcmp(special, name) == 0) return true;
    }
    return lists_token(lists[0], name) || lists_token(lists[1], name);
}

/* "added_tokens_decoder": {"141": {...}}, or added_tokens.json: {"[E1]": 141}, in the order of their ids. */
static rubato_status add_numbered(tokenizer *self, const json_t *map, const json_t *config,
                                  const json_t *const lists[2], rubato_error *error) {
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
    for (size_t i = 0; i < count && status == RUBATO_OK; i++) {
        bool special = !all[i].token && names_special(config, lists, all[i].name);
        added_token like = {.special = special, .normalized = !all[i].token && !special};
        status =
            all[i].token ? add_described(self, all[i].token, like, error) : add_later(self, &like, all[i].name, error);
    }
    free(all);
    return status;
}

/* The special tokens that have a key: those of tokenizer_config.json, and where the class builds the stages, its own.
 */
static rubato_status add_specials(tokenizer *self, const tokenizer_class *class, bool built, const json_t *config,
                                  rubato_error *error) {
    static const special_token order[] = {BOS_TOKEN, EOS_TOKEN, UNK_TOKEN, SEP_TOKEN, PAD_TOKEN, CLS_TOKEN, MASK_TOKEN};
    for (size_t i = 0; i < SPECIAL_TOKENS; i++) {
        const json_t *item = json_object_get(config, special_keys[order[i]]);
        added_token like = special_token_like;
        like.left_strip = class && class->mask_strips && order[i] == MASK_TOKEN;
        const char *own = built ? class->tokens[order[i]] : NULL;
        if (json_is_string(item) || json_is_object(item))
            TRY(add_described(self, item, like, error));
        else if (own)
            TRY(add_later(self, &like, own, error));
    }
    if (!built || json_object_get(config, "additional_special_tokens")) return RUBATO_OK;
    for (size_t i = 0; i < 2 && class->more[i]; i++)
        if (tokenizer_id(self, class->more[i]) >= 0) TRY(add_later(self, &special_token_like, class->more[i], error));
    return RUBATO_OK;
}

static rubato_status read_beside(json_t **out, const char *folder, const char *name, rubato_error *error) {
    char path[4096];
    *out = NULL;
    snprintf(path, sizeof path, "%.4000s/%s", folder, name);
    return path_exists(path) ? json_read_file(out, path, TOKENIZER_FILE_BYTES, error) : RUBATO_OK;
}

/* The rows of new tokens could not be in the model, so those that are in every text must be in the vocabulary. */
static rubato_status check_ends(const tokenizer *self, const tokenizer_class *class, const json_t *config,
                                rubato_error *error) {
    const char *ends[2];
    tokenizer_class_ends(class, config, ends);
    for (size_t i = 0; i < 2; i++)
        if (tokenizer_id(self, ends[i]) < 0)
            return fail(error, RUBATO_BAD_MODEL, "the special token \"%.60s\" is missing in the vocabulary", ends[i]);
    return RUBATO_OK;
}

static rubato_status add_tokens(tokenizer *self, const tokenizer_source *from, bool built, rubato_error *error) {
    const json_t *decoder, *lists[2];
    json_t *added = NULL;
    if (built) TRY(check_ends(self, from->class, from->config, error));
    TRY(more_specials(lists, from->config, error));
    TRY(json_get_object(&decoder, from->config, "added_tokens_decoder", error));
    if (!decoder && from->folder) TRY(read_beside(&added, from->folder, "added_tokens.json", error));
    rubato_status status = add_numbered(self, decoder ? decoder : added, from->config, lists, error);
    if (status == RUBATO_OK) status = add_specials(self, from->class, built, from->config, error);
    for (size_t i = 0; i < 2 && status == RUBATO_OK; i++) status = add_more(self, lists[i], error);
    if (status == RUBATO_OK) status = add_named(self, from->config, error);
    json_decref(added);
    return status;
}

/* ---- The normaliser ---- */

/* BERT's classes build their normaliser from tokenizer_config.json and their own defaults, not from tokenizer.json. */
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

/* ---- The use of the tokens ---- */

static rubato_status set_use(tokenizer *self, const tokenizer_source *from, rubato_error *error) {
    const json_t *names, *truncation;
    const char *side;
    TRY(json_get_object(&truncation, from->root, "truncation", error));
    TRY(json_get_text(&side, truncation, "direction", "right", error));
    TRY(json_get_text(&side, from->config, "truncation_side", side, error));
    self->cut_left = strcasecmp(side, "left") == 0;
    if (!self->cut_left && strcasecmp(side, "right") != 0)
        return fail(error, RUBATO_BAD_MODEL, "\"truncation_side\" is \"%.40s\": neither left nor right", side);
    TRY(json_get_bool(&self->special_as_text, from->config, "split_special_tokens", false, error));
    TRY(json_get_bool(&self->cleans_spaces, from->config, "clean_up_tokenization_spaces", false, error));
    TRY(json_get_list(&names, from->config, "model_input_names", error));
    self->one_type = names && !lists_token(names, "token_type_ids");
    return RUBATO_OK;
}

rubato_status tokenizer_configure(tokenizer *self, const tokenizer_source *from, bool built, rubato_error *error) {
    static const json_refusal refused[] = {{"fast_tokenizer_files", "rename the wanted file to tokenizer.json"},
                                           {NULL, NULL}};
    TRY(json_refuse(from->config, refused, error));
    if (from->class && !from->class->rebuilds) TRY(set_normalizer(self, from->config, error));
    TRY(add_tokens(self, from, built, error));
    const tokenizer_class *class = from->class ? from->class : &none;
    const char *mask = tokenizer_class_token(class, MASK_TOKEN, from->config);
    const char *pad = tokenizer_class_token(class, PAD_TOKEN, from->config);
    if (mask) self->mask = tokenizer_id(self, mask);
    if (pad) self->pad = tokenizer_id(self, pad);
    return set_use(self, from, error);
}
