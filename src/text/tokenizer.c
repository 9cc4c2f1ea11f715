/* The stages of a tokenizer from a text to tokens. */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/text_buffer.h"
#include "base/utf8.h"
#include "text/unicode.h"

void tokenizer_destroy(tokenizer *self) {
    if (!self) return;
    normalizer_free(&self->normalizer);
    free(self->pre_tokenizer.steps);
    trie_free(&self->model.vocabulary);
    free(self->model.merges);
    free(self->model.suffix);
    free(self->model.scores);
    for (size_t i = 0; i < self->added_count; i++) free(self->added[i].content);
    free(self->added);
    trie_free(&self->added_trie);
    for (size_t i = 0; i < self->vocabulary; i++) free(self->tokens[i]);
    free(self->tokens);
    free(self->token_bytes);
    free(self);
}

void tokenizer_scratch_free(tokenizer_scratch *scratch) {
    characters_free(&scratch->raw);
    characters_free(&scratch->pool);
    pieces_free(&scratch->list);
    pre_tokenizer_scratch_free(&scratch->pre_tokenizer);
    free(scratch->model.bytes);
    free(scratch->spans.items);
    free(scratch->tokens[0].items);
    free(scratch->tokens[1].items);
    for (size_t i = 0; i < scratch->surface_count; i++) free(scratch->surfaces[i]);
    free(scratch->surfaces);
    *scratch = (tokenizer_scratch){0};
}

/* The value of a key, -1 when there is none. */
static int32_t find_text(const trie *t, uint32_t root, const char *text) {
    uint32_t node = root;
    size_t size = strlen(text);
    for (size_t i = 0; i < size;) {
        uint32_t code;
        i += utf8_next((const unsigned char *)text + i, &code);
        if ((node = trie_step(t, node, code)) == TRIE_NONE) return -1;
    }
    return t->values[node];
}

const added_token *tokenizer_added(const tokenizer *self, const char *content) {
    int32_t index = find_text(&self->added_trie, ADDED_CONTENTS, content);
    return index < 0 ? NULL : &self->added[index];
}

int32_t tokenizer_id(const tokenizer *self, const char *content) {
    const added_token *added = tokenizer_added(self, content);
    return added ? added->id : find_text(&self->model.vocabulary, 0, content);
}

static bool is_word(const character *c) {
    return character_flags(c->code) & CHARACTER_WORD;
}

static bool is_space(const character *c) {
    return character_flags(c->code) & CHARACTER_SPACE;
}

/* The added token that begins at `at`, the longest when there are several, or NULL. */
static const added_token *match_added(const tokenizer *self, uint32_t root, const character *text, size_t at,
                                      size_t count, size_t *length) {
    uint32_t node = root;
    int32_t best = -1;
    for (size_t i = at; i < count; i++) {
        node = trie_step(&self->added_trie, node, text[i].code);
        if (node == TRIE_NONE) break;
        if (self->added_trie.values[node] >= 0) {
            best = self->added_trie.values[node];
            *length = i + 1 - at;
        }
    }
    return best < 0 ? NULL : &self->added[best];
}

/* Cuts text = base[begin, end) at added tokens and passes every part to `add`, with id -1 for the text between them. */
typedef bool add_part(void *user, size_t begin, size_t end, int32_t id);

static bool cut_added(const tokenizer *self, uint32_t root, const character *base, size_t begin, size_t end,
                      bool special_as_text, add_part *add, void *user) {
    size_t open = begin, length = 0;
    const bool *starts = self->added_starts[root];
    bool wide = self->added_starts_wide[root];
    for (size_t at = begin; at < end;) {
        uint32_t code = base[at].code;
        const added_token *found = NULL;
        if (code < 0x80 ? starts[code] : wide) found = match_added(self, root, base, at, end, &length);
        if (!found) {
            at++;
            continue;
        }
        size_t first = at, last = at + length;
        at = last;
        if (special_as_text && found->special) continue;
        if (found->single_word &&
            ((first > begin && is_word(&base[first - 1])) || (last < end && is_word(&base[last]))))
            continue;
        if (found->left_strip)
            while (first > begin && is_space(&base[first - 1])) first--;
        if (first < open) first = open;
        if (found->right_strip)
            while (last < end && is_space(&base[last])) last++;
        if (open < first && !add(user, open, first, -1)) return false;
        if (!add(user, first, last, found->id)) return false;
        open = last;
    }
    return open >= end || add(user, open, end, -1);
}

typedef struct cutting {
    const tokenizer *tokenizer;
    tokenizer_scratch *scratch;
    bool special_as_text;
} cutting;

static bool add_piece(void *user, size_t begin, size_t end, int32_t id) {
    cutting *work = user;
    return pieces_add(&work->scratch->list, begin, end, id);
}

/* Copies a part of the raw text to the pool, normalises it there, and cuts it once more. */
static bool add_raw_part(void *user, size_t begin, size_t end, int32_t id) {
    cutting *work = user;
    characters *pool = &work->scratch->pool;
    size_t at = pool->count, count = end - begin;
    if (!characters_reserve(pool, count)) return false;
    if (count) memcpy(pool->items + at, work->scratch->raw.items + begin, count * sizeof *pool->items);
    pool->count += count;
    if (id >= 0) return pieces_add(&work->scratch->list, at, pool->count, id);
    const tokenizer *self = work->tokenizer;
    if (!normalizer_run(&self->normalizer, pool, at, &work->scratch->pre_tokenizer.normalizer)) return false;
    return cut_added(self, 1, pool->items, at, pool->count, work->special_as_text, add_piece, work);
}

static bool add_surface(tokenizer_scratch *scratch, const character *from, size_t count, uint32_t *index) {
    if (scratch->surface_count == scratch->surface_capacity) {
        size_t capacity = scratch->surface_capacity * 2 + 16;
        char **surfaces = realloc(scratch->surfaces, capacity * sizeof *surfaces);
        if (!surfaces) return false;
        scratch->surfaces = surfaces;
        scratch->surface_capacity = capacity;
    }
    char *text = malloc(count * 4 + 1);
    if (!text) return false;
    size_t size = 0;
    for (size_t i = 0; i < count; i++) size += utf8_put(text + size, from[i].code);
    text[size] = 0;
    scratch->surfaces[scratch->surface_count++] = text;
    *index = (uint32_t)scratch->surface_count;
    return true;
}

static bool add_token(tokenizer_scratch *scratch, token_list *list, const token_span *span, uint32_t word) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity * 2 + 64;
        token *items = realloc(list->items, capacity * sizeof *items);
        if (!items) return false;
        list->items = items;
        list->capacity = capacity;
    }
    const character *pool = scratch->pool.items;
    token made = {span->id, pool[span->begin].first, pool[span->end - 1].last, word, 0};
    if (span->surface && !add_surface(scratch, pool + span->begin, span->end - span->begin, &made.surface))
        return false;
    list->items[list->count++] = made;
    return true;
}

static tokenize_function *const models[] = {
    [MODEL_WORDPIECE] = wordpiece_tokenize,
    [MODEL_BPE] = bpe_tokenize,
    [MODEL_UNIGRAM] = unigram_tokenize,
    [MODEL_WORD_LEVEL] = word_level_tokenize,
};

/* Whether the text of an added token, with the white space around it that the token includes, differs from the token's
 * content. */
static bool differs(const tokenizer *self, const token_span *span, const character *pool) {
    const char *content = self->tokens[span->id];
    size_t at = 0, size = self->token_bytes[span->id];
    for (uint32_t i = span->begin; i < span->end; i++) {
        uint32_t code;
        if (at >= size) return true;
        at += utf8_next((const unsigned char *)content + at, &code);
        if (code != pool[i].code) return true;
    }
    return at != size;
}

bool tokenizer_run(const tokenizer *self, const char *text, size_t bytes, bool special_as_text, size_t which,
                   tokenizer_scratch *scratch) {
    characters *raw = &scratch->raw;
    raw->count = scratch->pool.count = 0;
    scratch->list.count = 0;
    scratch->tokens[which].count = 0;
    if (!characters_reserve(raw, bytes)) return false;
    uint32_t position = 0;
    for (size_t i = 0; i < bytes; position++) {
        uint32_t code;
        i += utf8_next((const unsigned char *)text + i, &code);
        raw->items[raw->count++] = (character){code, position, position + 1};
    }
    cutting work = {self, scratch, special_as_text};
    if (!cut_added(self, 0, raw->items, 0, raw->count, special_as_text, add_raw_part, &work)) return false;
    if (!pre_tokenizer_run(&self->pre_tokenizer, &scratch->pool, &scratch->list, &scratch->pre_tokenizer)) return false;
    tokenize_function *tokenize = models[self->model.kind];
    for (size_t i = 0; i < scratch->list.count; i++) {
        piece here = scratch->list.items[i];
        scratch->spans.count = 0;
        if (here.id >= 0) {
            token_span span = {here.id, (uint32_t)here.begin, (uint32_t)here.end, false};
            span.surface = differs(self, &span, scratch->pool.items);
            if (!add_token(scratch, &scratch->tokens[which], &span, (uint32_t)i)) return false;
            continue;
        }
        if (!tokenize(&self->model, &scratch->pool, here.begin, here.end, &scratch->spans, &scratch->model))
            return false;
        for (size_t j = 0; j < scratch->spans.count; j++)
            if (!add_token(scratch, &scratch->tokens[which], &scratch->spans.items[j], (uint32_t)i)) return false;
    }
    return true;
}
