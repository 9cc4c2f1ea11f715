/* Building a tokenizer. */
#include "text/tokenizer_convert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text_buffer.h"
#include "base/utf8.h"

enum { MAX_VOCABULARY = 1 << 22 };

rubato_status tokenizer_create(tokenizer **out, rubato_error *error) {
    tokenizer *self = calloc(1, sizeof *self);
    *out = self;
    if (!self) return fail_memory(error);
    self->max_length = SIZE_MAX;
    self->segment_bytes = 256 << 10;
    self->most_bytes = 32 << 20;
    self->mask = self->pad = self->model.unknown = -1;
    if (!trie_create(&self->model.vocabulary, 2, 1 << 10) || !trie_create(&self->added_trie, ADDED_ROOTS, 64))
        return fail_memory(error);
    return RUBATO_OK;
}

static rubato_status name_token(tokenizer *self, const char *text, size_t bytes, long long id, bool replace,
                                rubato_error *error) {
    if (id < 0 || id >= MAX_VOCABULARY)
        return fail(error, RUBATO_BAD_MODEL, "token \"%.60s\" has id %lld; at most %d are taken", text, id,
                    MAX_VOCABULARY);
    size_t index = (size_t)id;
    if (index >= self->vocabulary) {
        size_t capacity = 1;
        while (capacity <= index) capacity *= 2;
        char **tokens = realloc(self->tokens, capacity * sizeof *tokens);
        if (tokens) self->tokens = tokens;
        uint32_t *lengths = realloc(self->token_bytes, capacity * sizeof *lengths);
        if (lengths) self->token_bytes = lengths;
        if (!tokens || !lengths) return fail_memory(error);
        for (size_t i = self->vocabulary; i <= index; i++) self->tokens[i] = NULL;
        self->vocabulary = index + 1;
    }
    if (self->tokens[index] && !replace) return RUBATO_OK;
    char *copy = text_copy(text, bytes);
    if (!copy) return fail_memory(error);
    free(self->tokens[index]);
    self->tokens[index] = copy;
    self->token_bytes[index] = (uint32_t)bytes;
    return RUBATO_OK;
}

/* At every place of a text the longest token is looked for. */
static rubato_status check_length(const char *text, size_t bytes, rubato_error *error) {
    if (utf8_count(text, bytes) <= MAX_CHARACTERS) return RUBATO_OK;
    return fail(error, RUBATO_UNSUPPORTED, "token \"%.60s...\" is longer than %d characters", text, MAX_CHARACTERS);
}

rubato_status tokenizer_add_token(tokenizer *self, const char *text, size_t bytes, long long id, rubato_error *error) {
    TRY(check_length(text, bytes, error));
    TRY(name_token(self, text, bytes, id, false, error));
    /* an empty token would end at the root and match everywhere */
    if (bytes == 0) return RUBATO_OK;
    return trie_add_text(&self->model.vocabulary, 0, text, bytes, (int32_t)id) ? RUBATO_OK : fail_memory(error);
}

rubato_status tokenizer_add_continuations(tokenizer *self, const char *prefix, rubato_error *error) {
    size_t length = strlen(prefix);
    for (size_t id = 0; id < self->vocabulary; id++) {
        const char *text = self->tokens[id];
        if (!text || self->token_bytes[id] <= length || strncmp(text, prefix, length) != 0) continue;
        if (!trie_add_text(&self->model.vocabulary, 1, text + length, self->token_bytes[id] - length, (int32_t)id))
            return fail_memory(error);
    }
    return RUBATO_OK;
}

rubato_status tokenizer_add_added(tokenizer *self, const added_token *like, const char *text, size_t bytes,
                                  long long id, rubato_error *error) {
    if (bytes == 0 || tokenizer_added(self, text)) return RUBATO_OK;
    TRY(check_length(text, bytes, error));
    TRY(name_token(self, text, bytes, id, true, error));
    added_token *added = realloc(self->added, (self->added_count + 1) * sizeof *added);
    if (!added) return fail_memory(error);
    self->added = added;
    added_token made = *like;
    made.id = (int32_t)id;
    made.content = text_copy(text, bytes);
    if (!made.content) return fail_memory(error);
    added[self->added_count++] = made;
    bool done = trie_add_text(&self->added_trie, ADDED_CONTENTS, text, bytes, (int32_t)self->added_count - 1);
    return done ? RUBATO_OK : fail_memory(error);
}

static void put(template *shape, int sequence, int32_t id, int32_t type) {
    shape->items[shape->count++] = (template_item){sequence, id, type};
    shape->specials += sequence < 0;
}

rubato_status tokenizer_set_template(tokenizer *self, long long cls, long long sep, arrangement how,
                                     rubato_error *error) {
    if (cls < 0 || sep < 0 || (size_t)cls >= self->vocabulary || (size_t)sep >= self->vocabulary)
        return fail(error, RUBATO_BAD_MODEL, "the ids of [CLS] (%lld) and [SEP] (%lld) are not in the vocabulary", cls,
                    sep);
    int32_t c = (int32_t)cls, s = (int32_t)sep, second = how == TWO_SEPARATORS ? 0 : 1;
    self->single = self->pair = (template){0};
    if (how != CLS_LAST) put(&self->single, -1, c, 0);
    put(&self->single, 0, 0, 0);
    put(&self->single, -1, s, 0);
    self->pair = self->single;
    if (how == TWO_SEPARATORS) put(&self->pair, -1, s, 0);
    put(&self->pair, 1, 0, second);
    put(&self->pair, -1, s, second);
    if (how != CLS_LAST) return RUBATO_OK;
    put(&self->single, -1, c, 2);
    put(&self->pair, -1, c, 2);
    return RUBATO_OK;
}

static rubato_status add_to_trie(tokenizer *self, int32_t index, tokenizer_scratch *scratch, rubato_error *error) {
    const added_token *entry = &self->added[index];
    uint32_t root = entry->normalized ? ADDED_NORMALIZED : ADDED_RAW;
    characters *text = &scratch->pool;
    text->count = 0;
    size_t bytes = strlen(entry->content);
    for (size_t i = 0; i < bytes;) {
        uint32_t code;
        i += utf8_next((const unsigned char *)entry->content + i, &code);
        if (!characters_add(text, code, 0, 0)) return fail_memory(error);
    }
    normalizer_scratch *normal = &scratch->pre_tokenizer.normalizer;
    normal->most = text_limit(text->count);
    if (entry->normalized && !normalizer_run(&self->normalizer, text, 0, false, normal)) {
        if (!normal->grown) return fail_memory(error);
        return fail(error, RUBATO_BAD_MODEL,
                    "normalizer %s: makes more than %zu characters of the added token \"%.60s\"", normal->grown,
                    normal->most, entry->content);
    }
    if (text->count == 0) return RUBATO_OK;
    seams_take_added(&self->seams, text->items, text->count, entry->right_strip);
    uint32_t *codes = malloc(text->count * sizeof *codes);
    if (!codes) return fail_memory(error);
    for (size_t i = 0; i < text->count; i++) codes[i] = text->items[i].code;
    bool done = trie_add(&self->added_trie, root, codes, text->count, index);
    if (codes[0] < 0x80)
        self->added_starts[root][codes[0]] = true;
    else
        self->added_starts_wide[root] = true;
    free(codes);
    return done ? RUBATO_OK : fail_memory(error);
}

rubato_status tokenizer_finish(tokenizer *self, rubato_error *error) {
    tokenizer_scratch scratch = {0};
    rubato_status status = RUBATO_OK;
    self->seams = seams_of(&self->normalizer, &self->pre_tokenizer);
    for (size_t i = 0; i < self->added_count && status == RUBATO_OK; i++)
        status = add_to_trie(self, (int32_t)i, &scratch, error);
    tokenizer_scratch_free(&scratch);
    if (self->single.count == 0) put(&self->single, 0, 0, 0);
    if (self->pair.count == 0) {
        put(&self->pair, 0, 0, 0);
        put(&self->pair, 1, 0, 1);
    }
    static const char *const masks[] = {"[MASK]", "<mask>"}, *const pads[] = {"[PAD]", "<pad>"};
    for (size_t i = 0; i < 2; i++) {
        if (self->mask < 0) self->mask = tokenizer_id(self, masks[i]);
        if (self->pad < 0) self->pad = tokenizer_id(self, pads[i]);
    }
    return status;
}

/* Where the file lists no added tokens by their ids, special_tokens_map.json stands over it. */
static rubato_status read_config(json_t **out, const char *folder, rubato_error *error) {
    char path[4096];
    json_t *map = NULL, *value;
    const char *key;
    snprintf(path, sizeof path, "%.4000s/tokenizer_config.json", folder);
    if (path_exists(path))
        TRY(json_read_file(out, path, TOKENIZER_FILE_BYTES, error));
    else if (!(*out = json_object()))
        return fail_memory(error);
    if (!json_is_object(*out)) return fail(error, RUBATO_BAD_MODEL, "%s: not an object", path);
    snprintf(path, sizeof path, "%.4000s/special_tokens_map.json", folder);
    if (json_object_get(*out, "added_tokens_decoder") || !path_exists(path)) return RUBATO_OK;
    rubato_status status = json_read_file(&map, path, TOKENIZER_FILE_BYTES, error);
    json_object_foreach(map, key, value) {
        if (status != RUBATO_OK) break;
        bool kept = json_is_array(value) && json_object_get(*out, key);
        if (!kept) status = json_set(*out, key, json_incref(value), error);
    }
    json_decref(map);
    return status;
}

static void read_length(size_t *out, const json_t *config) {
    const json_t *longest = json_object_get(config, "model_max_length");
    if (!longest) longest = json_object_get(config, "max_len");
    double most = json_number_value(longest);
    if (json_is_number(longest) && most >= 1 && most < 1e6) *out = (size_t)most;
}

static rubato_status load_json(tokenizer **out, const char *path, const char *folder, const tokenizer_class *class,
                               const json_t *config, rubato_error *error) {
    char *data;
    size_t size;
    TRY(file_read(&data, &size, path, TOKENIZER_FILE_BYTES, error));
    rubato_status status = tokenizer_parse(out, data, size, path, folder, class, config, error);
    free(data);
    return status;
}

/* Without tokenizer.json. A vocab.txt is BERT's where nothing says a class. */
static rubato_status load_own_files(tokenizer **out, const char *folder, const tokenizer_class *class,
                                    const char *named, const json_t *config, rubato_error *error) {
    if (!class && *named)
        return fail(error, RUBATO_UNSUPPORTED,
                    "%s: no tokenizer.json, and a tokenizer_class (%.60s) whose own files Rubato does not read; save "
                    "the folder with a tokenizer.json",
                    folder, named);
    if (!class) class = tokenizer_class_named("Bert");
    if (!tokenizer_files_exist(class, folder))
        return fail(error, RUBATO_NOT_FOUND, "%s: neither tokenizer.json nor %s%s%s is there", folder, class->files[0],
                    class->files[1] ? " with " : "", class->files[1] ? class->files[1] : "");
    tokenizer_source from = {.class = class, .folder = folder, .config = config};
    TRY(tokenizer_convert_folder(&from.root, class, config, folder, error));
    rubato_status status = tokenizer_assemble(out, &from, error);
    json_decref(from.root);
    return status == RUBATO_OK || status == RUBATO_OUT_OF_MEMORY ? status : fail_within(error, status, folder);
}

rubato_status tokenizer_load(tokenizer **out, const char *folder, rubato_error *error) {
    char path[4096], named[64];
    const tokenizer_class *class;
    json_t *config = NULL;
    rubato_status status;
    *out = NULL;
    if ((size_t)snprintf(path, sizeof path, "%s/tokenizer_config.json", folder) >= sizeof path)
        return fail(error, RUBATO_BAD_ARGUMENT, "%.200s...: path too long", folder);
    TRY_DONE(read_config(&config, folder, error));
    TRY_DONE(tokenizer_class_find(&class, named, sizeof named, folder, config, error));
    snprintf(path, sizeof path, "%.4000s/tokenizer.json", folder);
    if (path_exists(path))
        TRY_DONE(load_json(out, path, folder, class, config, error));
    else
        TRY_DONE(load_own_files(out, folder, class, named, config, error));
    read_length(&(*out)->max_length, config);
done:
    json_decref(config);
    return status;
}
