/* Reading tokenizer.json: each stage's settings into the tokenizer's lists and tables. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "base/text_buffer.h"
#include "base/utf8.h"
#include "text/tokenizer_class.h"
#include "text/unicode.h"

static const char *type_of(const json_t *stage) {
    const char *type = json_string_value(json_object_get(stage, "type"));
    return type ? type : "";
}

static bool flag(const json_t *object, const char *key, bool otherwise) {
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

/* UTF-8 to code points; *codes belongs to the caller. Jansson gives valid UTF-8 only. */
static bool to_codes(const json_t *string, uint32_t **codes, size_t *count) {
    const char *text = json_string_value(string);
    size_t size = json_string_length(string);
    *count = 0;
    *codes = malloc((size + 1) * sizeof **codes);
    if (!*codes) return false;
    for (size_t i = 0; i < size; (*count)++) i += utf8_next((const unsigned char *)text + i, *codes + *count);
    return true;
}

/* ---- Normaliser ---- */

static rubato_status add_normalizer_step(normalizer *self, normalizer_step step, rubato_error *error) {
    if (self->count == MAX_STEPS) return fail(error, RUBATO_UNSUPPORTED, "normalizer: more than %d steps", MAX_STEPS);
    normalizer_step *steps = realloc(self->steps, (self->count + 1) * sizeof *steps);
    if (!steps) return fail_memory(error);
    self->steps = steps;
    steps[self->count++] = step;
    return RUBATO_OK;
}

static rubato_status parse_replace(normalizer_step *step, const json_t *stage, rubato_error *error) {
    const json_t *pattern = json_object_get(stage, "pattern"), *content = json_object_get(stage, "content");
    const json_t *literal = json_object_get(pattern, "String"), *regex = json_object_get(pattern, "Regex");
    if (!json_is_string(content) || (!json_is_string(literal) && !json_is_string(regex)))
        return fail(error, RUBATO_BAD_MODEL, "normalizer Replace: needs pattern and content");
    if (!literal) {
        if (strcmp(json_string_value(regex), " {2,}") != 0)
            return fail(error, RUBATO_UNSUPPORTED, "normalizer Replace: regular expression \"%.60s\"",
                        json_string_value(regex));
        step->space_runs = true;
    } else if (!to_codes(literal, &step->pattern, &step->pattern_count)) {
        return fail_memory(error);
    }
    if (step->pattern_count > MAX_CHARACTERS)
        return fail(error, RUBATO_UNSUPPORTED, "normalizer Replace: a pattern of %zu characters; at most %d are taken",
                    step->pattern_count, MAX_CHARACTERS);
    return to_codes(content, &step->content, &step->content_count) ? RUBATO_OK : fail_memory(error);
}

static rubato_status parse_normalizer(normalizer *self, const json_t *stage, int depth, rubato_error *error) {
    if (!stage || json_is_null(stage)) return RUBATO_OK;
    const char *type = type_of(stage);
    if (depth > 8) return fail(error, RUBATO_BAD_MODEL, "normalizer: nested too deeply");
    if (strcmp(type, "Sequence") == 0) {
        const json_t *list = json_object_get(stage, "normalizers");
        for (size_t i = 0; i < json_array_size(list); i++)
            TRY(parse_normalizer(self, json_array_get(list, i), depth + 1, error));
        return RUBATO_OK;
    }
    size_t which = 0;
    while (which < NORMALIZERS && strcmp(normalizer_names[which], type) != 0) which++;
    if (which == NORMALIZERS) return fail(error, RUBATO_UNSUPPORTED, "normalizer \"%.60s\"", type);
    normalizer_step step = {.kind = (normalizer_kind)which};
    rubato_status status = RUBATO_OK;
    switch (step.kind) {
    case NORMALIZE_BERT:
        step.clean = flag(stage, "clean_text", true);
        step.cjk = flag(stage, "handle_chinese_chars", true);
        step.lower = flag(stage, "lowercase", true);
        step.accents = flag(stage, "strip_accents", step.lower);
        break;
    case NORMALIZE_STRIP:
        step.left = flag(stage, "strip_left", true);
        step.right = flag(stage, "strip_right", true);
        break;
    case NORMALIZE_REPLACE: status = parse_replace(&step, stage, error); break;
    case NORMALIZE_PREPEND:
        if (!json_is_string(json_object_get(stage, "prepend")))
            status = fail(error, RUBATO_BAD_MODEL, "normalizer Prepend: nothing to prepend");
        else if (!to_codes(json_object_get(stage, "prepend"), &step.content, &step.content_count))
            status = fail_memory(error);
        break;
    case NORMALIZE_PRECOMPILED: {
        const json_t *map = json_object_get(stage, "precompiled_charsmap");
        if (json_is_null(map)) return RUBATO_OK;
        if (!json_is_string(map))
            status = fail(error, RUBATO_BAD_MODEL, "normalizer Precompiled: no precompiled_charsmap");
        else
            status = charsmap_load(&step.map, json_string_value(map), json_string_length(map), error);
        break;
    }
    default: break;
    }
    if (status == RUBATO_OK) status = add_normalizer_step(self, step, error);
    if (status != RUBATO_OK) {
        free(step.pattern);
        free(step.content);
        charsmap_free(&step.map);
    }
    return status;
}

/* ---- Pre-tokeniser ---- */

static rubato_status parse_metaspace(pre_tokenizer_step *step, const json_t *stage, rubato_error *error) {
    const char *replacement = json_string_value(json_object_get(stage, "replacement"));
    const char *scheme = json_string_value(json_object_get(stage, "prepend_scheme"));
    step->replacement = 0x2581;
    if (replacement && *replacement) utf8_next((const unsigned char *)replacement, &step->replacement);
    step->split = flag(stage, "split", true);
    step->prepend = flag(stage, "add_prefix_space", true) ? PREPEND_ALWAYS : PREPEND_NEVER;
    if (!scheme) return RUBATO_OK;
    if (strcmp(scheme, "always") == 0)
        step->prepend = PREPEND_ALWAYS;
    else if (strcmp(scheme, "first") == 0)
        step->prepend = PREPEND_FIRST;
    else if (strcmp(scheme, "never") == 0)
        step->prepend = PREPEND_NEVER;
    else
        return fail(error, RUBATO_BAD_MODEL, "pre_tokenizer Metaspace: prepend_scheme \"%.40s\"", scheme);
    return RUBATO_OK;
}

static rubato_status parse_pre_tokenizer(pre_tokenizer *self, const json_t *stage, int depth, rubato_error *error) {
    if (!stage || json_is_null(stage)) return RUBATO_OK;
    const char *type = type_of(stage);
    if (depth > 8) return fail(error, RUBATO_BAD_MODEL, "pre_tokenizer: nested too deeply");
    if (strcmp(type, "Sequence") == 0) {
        const json_t *list = json_object_get(stage, "pretokenizers");
        for (size_t i = 0; i < json_array_size(list); i++)
            TRY(parse_pre_tokenizer(self, json_array_get(list, i), depth + 1, error));
        return RUBATO_OK;
    }
    pre_tokenizer_step step = {0};
    if (strcmp(type, "BertPreTokenizer") == 0) {
        step.kind = SPLIT_BERT;
    } else if (strcmp(type, "Whitespace") == 0) {
        step.kind = SPLIT_WHITESPACE;
    } else if (strcmp(type, "WhitespaceSplit") == 0) {
        step.kind = SPLIT_SPACES;
    } else if (strcmp(type, "Punctuation") == 0) {
        const char *behavior = json_string_value(json_object_get(stage, "behavior"));
        if (behavior && strcmp(behavior, "Isolated") != 0)
            return fail(error, RUBATO_UNSUPPORTED, "pre_tokenizer Punctuation: behavior \"%.40s\"", behavior);
        step.kind = SPLIT_PUNCTUATION;
    } else if (strcmp(type, "Digits") == 0) {
        step.kind = SPLIT_DIGITS;
        step.individual = flag(stage, "individual_digits", false);
    } else if (strcmp(type, "Metaspace") == 0) {
        step.kind = SPLIT_METASPACE;
        TRY(parse_metaspace(&step, stage, error));
    } else if (strcmp(type, "ByteLevel") == 0) {
        step.kind = SPLIT_BYTE_LEVEL;
        step.prefix_space = flag(stage, "add_prefix_space", true);
        step.split = flag(stage, "use_regex", true);
    } else {
        return fail(error, RUBATO_UNSUPPORTED, "pre_tokenizer \"%.60s\"", type);
    }
    if (self->count == MAX_STEPS)
        return fail(error, RUBATO_UNSUPPORTED, "pre_tokenizer: more than %d steps", MAX_STEPS);
    pre_tokenizer_step *steps = realloc(self->steps, (self->count + 1) * sizeof *steps);
    if (!steps) return fail_memory(error);
    self->steps = steps;
    steps[self->count++] = step;
    return RUBATO_OK;
}

/* ---- Vocabulary and model ---- */

static rubato_status parse_vocabulary(tokenizer *self, const json_t *object, rubato_error *error) {
    if (!json_is_object(object)) return fail(error, RUBATO_BAD_MODEL, "model: no \"vocab\"");
    const char *key;
    json_t *value;
    void *iterator = json_object_iter((json_t *)(uintptr_t)object);
    for (; iterator; iterator = json_object_iter_next((json_t *)(uintptr_t)object, iterator)) {
        key = json_object_iter_key(iterator);
        value = json_object_iter_value(iterator);
        if (!json_is_integer(value))
            return fail(error, RUBATO_BAD_MODEL, "model: token \"%.60s\" has no whole-number id", key);
        TRY(tokenizer_add_token(self, key, strlen(key), json_integer_value(value), error));
    }
    return RUBATO_OK;
}

static rubato_status find_unknown(tokenizer *self, const json_t *model, bool needed, rubato_error *error) {
    const char *unknown = json_string_value(json_object_get(model, "unk_token"));
    self->model.unknown = unknown ? tokenizer_id(self, unknown) : -1;
    if (self->model.unknown < 0 && needed)
        return fail(error, RUBATO_BAD_MODEL, "model: the unknown token \"%.60s\" is not in the vocabulary",
                    unknown ? unknown : "");
    return RUBATO_OK;
}

static rubato_status parse_wordpiece(tokenizer *self, const json_t *model, rubato_error *error) {
    const char *prefix = json_string_value(json_object_get(model, "continuing_subword_prefix"));
    TRY(parse_vocabulary(self, json_object_get(model, "vocab"), error));
    TRY(find_unknown(self, model, true, error));
    TRY(json_get_size(&self->model.max_characters, model, "max_input_chars_per_word", 100, error));
    return tokenizer_add_continuations(self, prefix ? prefix : "##", error);
}

/* A merge is "left right" or ["left", "right"]. */
static rubato_status parse_merge(const tokenizer *self, const json_t *item, text_buffer *joined, int32_t ids[3],
                                 size_t number, rubato_error *error) {
    const char *left = NULL, *right = NULL;
    char *copy = NULL;
    if (json_is_string(item)) {
        copy = text_copy(json_string_value(item), json_string_length(item));
        if (!copy) return fail_memory(error);
        char *space = strchr(copy, ' ');
        if (space) {
            *space = 0;
            left = copy;
            right = space + 1;
        }
    } else if (json_array_size(item) == 2) {
        left = json_string_value(json_array_get(item, 0));
        right = json_string_value(json_array_get(item, 1));
    }
    rubato_status status = RUBATO_OK;
    if (!left || !right) {
        status = fail(error, RUBATO_BAD_MODEL, "model: merge %zu is not a pair of tokens", number);
    } else {
        text_clear(joined);
        text_add_string(joined, left);
        text_add_string(joined, right);
        if (joined->failed) {
            status = fail_memory(error);
        } else {
            ids[0] = tokenizer_id(self, left);
            ids[1] = tokenizer_id(self, right);
            ids[2] = tokenizer_id(self, joined->data);
            if (ids[0] < 0 || ids[1] < 0 || ids[2] < 0)
                status = fail(error, RUBATO_BAD_MODEL,
                              "model: merge %zu (\"%.40s\" \"%.40s\") is not in the vocabulary", number, left, right);
        }
    }
    free(copy);
    return status;
}

static rubato_status parse_bpe(tokenizer *self, const json_t *model, rubato_error *error) {
    const char *prefix = json_string_value(json_object_get(model, "continuing_subword_prefix"));
    double dropout;
    const json_t *suffix = json_object_get(model, "end_of_word_suffix");
    if ((prefix && *prefix) || flag(model, "byte_fallback", false))
        return fail(error, RUBATO_UNSUPPORTED, "model BPE: continuing_subword_prefix and byte_fallback");
    TRY(json_get_real(&dropout, model, "dropout", 0, error));
    if (dropout != 0) return fail(error, RUBATO_UNSUPPORTED, "model BPE: dropout %g makes tokens random", dropout);
    if (json_string_length(suffix) > 0) {
        self->model.suffix_bytes = json_string_length(suffix);
        self->model.suffix = text_copy(json_string_value(suffix), self->model.suffix_bytes);
        if (!self->model.suffix) return fail_memory(error);
    }
    TRY(parse_vocabulary(self, json_object_get(model, "vocab"), error));
    TRY(find_unknown(self, model, false, error));
    self->model.fuse_unknown = flag(model, "fuse_unk", false);
    self->model.ignore_merges = flag(model, "ignore_merges", false);
    const json_t *merges = json_object_get(model, "merges");
    size_t count = json_array_size(merges), slots = 64;
    while (slots < count * 2) slots *= 2;
    self->model.merges = malloc(slots * sizeof *self->model.merges);
    if (!self->model.merges) return fail_memory(error);
    memset(self->model.merges, 0xff, slots * sizeof *self->model.merges);
    self->model.merge_mask = slots - 1;
    text_buffer joined = {0};
    rubato_status status = RUBATO_OK;
    for (size_t i = 0; i < count && status == RUBATO_OK; i++) {
        int32_t ids[3] = {-1, -1, -1};
        status = parse_merge(self, json_array_get(merges, i), &joined, ids, i, error);
        if (status != RUBATO_OK) break;
        uint64_t pair = (uint64_t)(uint32_t)ids[0] << 32 | (uint32_t)ids[1];
        size_t slot = trie_slot(pair, slots - 1);
        while (self->model.merges[slot].pair != UINT64_MAX && self->model.merges[slot].pair != pair)
            slot = (slot + 1) & (slots - 1);
        self->model.merges[slot] = (merge){pair, (uint32_t)i, ids[2]};
    }
    text_free(&joined);
    return status;
}

/* The reference reads a score as all its digits divided by a power of ten. This can differ from the nearest double by
 * one bit, and where two segmentations tie, that bit decides. So scores are read from the text once more; jansson has
 * already found the text to be valid. */
typedef struct cursor {
    const char *at, *end;
} cursor;

static void skip_space(cursor *c) {
    while (c->at < c->end && strchr(" \t\r\n", *c->at) && *c->at) c->at++;
}

static void skip_string(cursor *c) {
    for (c->at++; c->at < c->end && *c->at != '"'; c->at++)
        if (*c->at == '\\') c->at++;
    if (c->at < c->end) c->at++;
}

static void skip_value(cursor *c) {
    int depth = 0;
    do {
        skip_space(c);
        if (c->at >= c->end) return;
        if (*c->at == '"') {
            skip_string(c);
        } else {
            depth += *c->at == '{' || *c->at == '[';
            depth -= *c->at == '}' || *c->at == ']';
            c->at++;
        }
        if (depth == 0)
            while (c->at < c->end && !strchr(",]} \t\r\n", *c->at)) c->at++;
    } while (depth > 0);
}

/* Moves from an object to the value of one of its members. False when there is none. */
static bool enter_member(cursor *c, const char *key) {
    size_t length = strlen(key);
    skip_space(c);
    for (c->at++; c->at < c->end; c->at++) {
        skip_space(c);
        if (c->at >= c->end || *c->at != '"') return false;
        const char *name = c->at + 1;
        skip_string(c);
        bool found = (size_t)(c->at - name) == length + 1 && memcmp(name, key, length) == 0;
        skip_space(c);
        c->at++; /* : */
        if (found) return true;
        skip_value(c);
        skip_space(c);
    }
    return false;
}

static double read_score(cursor *c) {
    uint64_t digits = 0;
    int exponent = 0;
    bool negative = false, fraction = false;
    skip_space(c);
    for (; c->at < c->end && !strchr(",] \t\r\n", *c->at); c->at++) {
        char here = *c->at;
        if (here == '-') {
            negative = true;
        } else if (here == '.') {
            fraction = true;
        } else if (here == 'e' || here == 'E') {
            exponent += (int)strtol(c->at + 1, NULL, 10);
            break;
        } else if (digits > (UINT64_MAX - 9) / 10) {
            exponent += !fraction; /* no room: further digits are dropped */
        } else {
            digits = digits * 10 + (uint64_t)(here - '0');
            exponent -= fraction;
        }
    }
    double value = (double)digits;
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    for (; exponent < -22; exponent += 22) value /= 1e22;
    for (; exponent > 22; exponent -= 22) value *= 1e22;
    value = exponent < 0 ? value / powers[-exponent] : value * powers[exponent];
    return negative ? -value : value;
}

/* Rewrites `count` scores of model.vocab from the text. */
static void reread_scores(double *scores, size_t count, const char *json, size_t size) {
    cursor c = {json, json + size};
    if (!enter_member(&c, "model") || !enter_member(&c, "vocab")) return;
    skip_space(&c);
    for (size_t i = 0; i < count; i++) {
        c.at++; /* the outer [ or , */
        skip_space(&c);
        c.at++; /* [ */
        skip_value(&c);
        skip_space(&c);
        c.at++; /* , */
        if (c.at >= c.end) return;
        scores[i] = read_score(&c);
        while (c.at < c.end && *c.at != ']') c.at++;
        c.at++;
        skip_space(&c);
    }
}

static rubato_status parse_unigram(tokenizer *self, const json_t *model, const char *json, size_t size,
                                   rubato_error *error) {
    const json_t *list = json_object_get(model, "vocab");
    size_t count = json_array_size(list), unknown;
    if (count == 0) return fail(error, RUBATO_BAD_MODEL, "model Unigram: no \"vocab\"");
    self->model.scores = malloc(count * sizeof *self->model.scores);
    if (!self->model.scores) return fail_memory(error);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i), *text = json_array_get(item, 0), *score = json_array_get(item, 1);
        if (!json_is_string(text) || !json_is_number(score))
            return fail(error, RUBATO_BAD_MODEL, "model Unigram: entry %zu is not a piece and its score", i);
        TRY(tokenizer_add_token(self, json_string_value(text), json_string_length(text), (json_int_t)i, error));
        self->model.scores[i] = json_number_value(score);
    }
    if (json) reread_scores(self->model.scores, count, json, size);
    double lowest = self->model.scores[0];
    for (size_t i = 1; i < count; i++)
        if (self->model.scores[i] < lowest) lowest = self->model.scores[i];
    self->model.unknown_score = lowest - 10;
    TRY(json_get_size(&unknown, model, "unk_id", SIZE_MAX, error));
    if (unknown != SIZE_MAX && unknown >= count)
        return fail(error, RUBATO_BAD_MODEL, "model Unigram: unk_id %zu of %zu pieces", unknown, count);
    self->model.unknown = unknown == SIZE_MAX ? -1 : (int32_t)unknown;
    self->model.byte_fallback = flag(model, "byte_fallback", false);
    for (int byte = 0; byte < 256; byte++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", byte);
        self->model.byte_ids[byte] = tokenizer_id(self, name);
    }
    return RUBATO_OK;
}

token_model_kind tokenizer_model_kind(const json_t *model) {
    static const char *const names[] = {[MODEL_WORDPIECE] = "WordPiece",
                                        [MODEL_BPE] = "BPE",
                                        [MODEL_UNIGRAM] = "Unigram",
                                        [MODEL_WORD_LEVEL] = "WordLevel"};
    const char *type = type_of(model);
    if (!*type) /* old files have none */
        return json_object_get(model, "merges")                 ? MODEL_BPE
               : json_is_array(json_object_get(model, "vocab")) ? MODEL_UNIGRAM
                                                                : MODEL_WORDPIECE;
    int kind = 0;
    while (kind < MODEL_UNKNOWN && strcmp(names[kind], type) != 0) kind++;
    return (token_model_kind)kind;
}

static rubato_status parse_model(tokenizer *self, const json_t *model, const char *json, size_t size,
                                 rubato_error *error) {
    self->model.kind = tokenizer_model_kind(model);
    switch (self->model.kind) {
    case MODEL_WORDPIECE: return parse_wordpiece(self, model, error);
    case MODEL_BPE: return parse_bpe(self, model, error);
    case MODEL_UNIGRAM: return parse_unigram(self, model, json, size, error);
    case MODEL_WORD_LEVEL:
        TRY(parse_vocabulary(self, json_object_get(model, "vocab"), error));
        return find_unknown(self, model, false, error);
    default: return fail(error, RUBATO_UNSUPPORTED, "tokenizer model \"%.60s\"", type_of(model));
    }
}

/* ---- Added tokens ---- */

static rubato_status parse_added(tokenizer *self, const json_t *list, rubato_error *error) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i), *content = json_object_get(item, "content");
        const json_t *id = json_object_get(item, "id");
        if (!json_is_string(content) || !json_is_integer(id))
            return fail(error, RUBATO_BAD_MODEL, "added_tokens: entry %zu needs content and id", i);
        added_token entry = {.single_word = flag(item, "single_word", false),
                             .left_strip = flag(item, "lstrip", false),
                             .right_strip = flag(item, "rstrip", false),
                             .normalized = flag(item, "normalized", true),
                             .special = flag(item, "special", false)};
        TRY(tokenizer_add_added(self, &entry, json_string_value(content), json_string_length(content),
                                json_integer_value(id), error));
    }
    return RUBATO_OK;
}

/* ---- Post-processor ---- */

static rubato_status put_item(template *shape, int sequence, json_int_t id, json_int_t type, const tokenizer *self,
                              rubato_error *error) {
    if (shape->count == MAX_TEMPLATE)
        return fail(error, RUBATO_UNSUPPORTED, "post_processor: more than %d parts", MAX_TEMPLATE);
    if (type < 0 || type > 1024 || id < 0 || (sequence < 0 && (size_t)id >= self->vocabulary))
        return fail(error, RUBATO_BAD_MODEL, "post_processor: id %lld or type %lld is out of range", (long long)id,
                    (long long)type);
    shape->items[shape->count++] = (template_item){sequence, (int32_t)id, (int32_t)type};
    if (sequence < 0) shape->specials++;
    return RUBATO_OK;
}

/* Each text must occur once in its template: `texts` is 1 for a single text, 2 for a pair. */
static rubato_status parse_template(tokenizer *self, template *shape, size_t texts, const json_t *list,
                                    const json_t *specials, rubato_error *error) {
    *shape = (template){0};
    size_t uses[2] = {0, 0};
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const json_t *special = json_object_get(item, "SpecialToken"), *sequence = json_object_get(item, "Sequence");
        const json_t *part = special ? special : sequence;
        const char *name = json_string_value(json_object_get(part, "id"));
        json_int_t type = json_integer_value(json_object_get(part, "type_id"));
        if (!name) return fail(error, RUBATO_BAD_MODEL, "post_processor: part %zu has no id", i);
        if (sequence) {
            int which = strcmp(name, "A") == 0 ? 0 : 1;
            uses[which]++;
            TRY(put_item(shape, which, 0, type, self, error));
            continue;
        }
        const json_t *ids = json_object_get(json_object_get(specials, name), "ids");
        if (json_array_size(ids) == 0)
            return fail(error, RUBATO_BAD_MODEL, "post_processor: special token \"%.40s\" has no ids", name);
        for (size_t j = 0; j < json_array_size(ids); j++)
            TRY(put_item(shape, -1, json_integer_value(json_array_get(ids, j)), type, self, error));
    }
    if (uses[0] != 1 || uses[1] != texts - 1)
        return fail(error, RUBATO_UNSUPPORTED,
                    "post_processor: the template of %s has the first text %zu times and the "
                    "second %zu times",
                    texts == 1 ? "one text" : "a pair", uses[0], uses[1]);
    return RUBATO_OK;
}

/* BertProcessing and RobertaProcessing: CLS A SEP, and B SEP or SEP B SEP for a pair. */
static rubato_status parse_fixed(tokenizer *self, const json_t *stage, bool roberta, rubato_error *error) {
    const json_t *cls = json_array_get(json_object_get(stage, "cls"), 1);
    const json_t *sep = json_array_get(json_object_get(stage, "sep"), 1);
    if (!json_is_integer(cls) || !json_is_integer(sep))
        return fail(error, RUBATO_BAD_MODEL, "post_processor: needs cls and sep with their ids");
    return tokenizer_set_template(self, json_integer_value(cls), json_integer_value(sep),
                                  roberta ? TWO_SEPARATORS : CLS_FIRST, error);
}

static rubato_status parse_post_processor(tokenizer *self, const json_t *stage, int depth, rubato_error *error) {
    if (!stage || json_is_null(stage)) return RUBATO_OK;
    const char *type = type_of(stage);
    if (depth > 8) return fail(error, RUBATO_BAD_MODEL, "post_processor: nested too deeply");
    if (strcmp(type, "Sequence") == 0) {
        const json_t *list = json_object_get(stage, "processors");
        for (size_t i = 0; i < json_array_size(list); i++)
            TRY(parse_post_processor(self, json_array_get(list, i), depth + 1, error));
        return RUBATO_OK;
    }
    if (strcmp(type, "TemplateProcessing") == 0) {
        const json_t *specials = json_object_get(stage, "special_tokens");
        TRY(parse_template(self, &self->single, 1, json_object_get(stage, "single"), specials, error));
        return parse_template(self, &self->pair, 2, json_object_get(stage, "pair"), specials, error);
    }
    bool roberta = strcmp(type, "RobertaProcessing") == 0;
    if (roberta || strcmp(type, "ByteLevel") == 0) {
        self->trim_offsets = flag(stage, "trim_offsets", true);
        self->trim_prefix_space = flag(stage, "add_prefix_space", true);
        return roberta ? parse_fixed(self, stage, true, error) : RUBATO_OK;
    }
    if (strcmp(type, "BertProcessing") == 0) return parse_fixed(self, stage, false, error);
    return fail(error, RUBATO_UNSUPPORTED, "post_processor \"%.60s\"", type);
}

/* A class of the reference that builds the stages by itself does so for a model of its kind. (A file with another model
 * was made for the class PreTrainedTokenizerFast.) */
rubato_status tokenizer_assemble(tokenizer **out, const tokenizer_source *from, rubato_error *error) {
    json_t *root = from->root;
    const tokenizer_class *class = from->class;
    const json_t *added = json_object_get(root, "added_tokens");
    tokenizer *self = NULL;
    rubato_status status;
    bool own_files = !from->json;
    bool rebuilt =
        class && class->rebuilds && (own_files || tokenizer_model_kind(json_object_get(root, "model")) == class->model);
    *out = NULL;
    TRY_DONE(tokenizer_create(&self, error));
    if (rebuilt) TRY_DONE(tokenizer_class_rebuild(class, root, from->config, error));
    TRY_DONE(parse_normalizer(&self->normalizer, json_object_get(root, "normalizer"), 0, error));
    TRY_DONE(parse_pre_tokenizer(&self->pre_tokenizer, json_object_get(root, "pre_tokenizer"), 0, error));
    TRY_DONE(parse_model(self, json_object_get(root, "model"), from->json, from->size, error));
    /* added_tokens_decoder of tokenizer_config.json replaces the list of a tokenizer.json */
    bool listed = rebuilt && json_object_get(from->config, "added_tokens_decoder");
    if (!listed && !own_files) TRY_DONE(parse_added(self, added, error));
    TRY_DONE(tokenizer_configure(self, from, rebuilt || own_files, error));
    if (own_files) TRY_DONE(parse_added(self, added, error));
    TRY_DONE(parse_post_processor(self, json_object_get(root, "post_processor"), 0, error));
    if ((rebuilt || own_files) && self->single.count == 0)
        TRY_DONE(tokenizer_class_template(self, class, from->config, error));
    TRY_DONE(tokenizer_finish(self, error));
    *out = self;
done:
    if (status != RUBATO_OK) tokenizer_destroy(self);
    return status == RUBATO_BAD_DATA ? RUBATO_BAD_MODEL : status;
}

rubato_status tokenizer_parse(tokenizer **out, const char *json, size_t size, const char *name, const char *folder,
                              const tokenizer_class *class, const json_t *config, rubato_error *error) {
    tokenizer_source from = {.json = json, .size = size, .class = class, .folder = folder, .config = config};
    *out = NULL;
    rubato_status status = json_read_bytes(&from.root, json, size, name, error);
    if (status == RUBATO_OK) status = tokenizer_assemble(out, &from, error);
    json_decref(from.root);
    if (status == RUBATO_BAD_DATA) status = RUBATO_BAD_MODEL;
    if (status != RUBATO_OK && error && status != RUBATO_OUT_OF_MEMORY &&
        strncmp(error->message, name, strlen(name)) != 0)
        fail_within(error, status, name);
    return status;
}
