/* The stages of a tokenizer from a text to tokens. */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
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

bool tokenizer_same_tokens(const tokenizer *a, const tokenizer *b) {
    bool same = a->vocabulary == b->vocabulary;
    for (size_t i = 0; same && i < a->vocabulary; i++) {
        const char *x = a->tokens[i], *y = b->tokens[i];
        same = (!x && !y) || (x && y && strcmp(x, y) == 0);
    }
    return same;
}

bool tokenizer_continues(const tokenizer *self, int32_t id) {
    static const char *const begins[] = {"\u0120", "\u2581"}; /* of byte-level BPE, of SentencePiece */
    const char *name = id >= 0 && (size_t)id < self->vocabulary ? self->tokens[id] : NULL;
    if (!name) return false;
    if (self->model.kind == MODEL_WORDPIECE) return strncmp(name, "##", 2) == 0;
    if (self->model.kind == MODEL_WORD_LEVEL) return false;
    for (size_t i = 0; i < 2; i++)
        if (strncmp(name, begins[i], strlen(begins[i])) == 0) return false;
    return true;
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
            while (first > open && is_space(&base[first - 1])) first--;
        if (first < open) first = open;
        if (found->right_strip) {
            if (last < open) last = open; /* the token before has swallowed the blanks up to there */
            while (last < end && is_space(&base[last])) last++;
        }
        if (last < first) continue; /* it is among those blanks itself */
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
    bool continues; /* the next part is text, and goes on with the text of the segment before */
    bool open;      /* the last part is text, and may go on in the next segment */
    bool uneven;    /* what follows the last part depends on how it begins */
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
    bool continues = work->continues;
    work->continues = false;
    work->open = id < 0;
    if (id >= 0) return pieces_add(&work->scratch->list, at, pool->count, id);
    const tokenizer *self = work->tokenizer;
    normalizer_scratch *normal = &work->scratch->pre_tokenizer.normalizer;
    if (!normalizer_run(&self->normalizer, pool, at, continues, normal)) return false;
    work->uneven = normal->uneven;
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

/* Cuts a segment, whose first character has the number *position, into the pieces that the model gets. *position moves
 * behind it. */
static bool cut_segment(cutting *work, const char *text, size_t bytes, uint32_t *position) {
    const tokenizer *self = work->tokenizer;
    tokenizer_scratch *scratch = work->scratch;
    characters *raw = &scratch->raw;
    raw->count = scratch->pool.count = 0;
    scratch->list.count = 0;
    if (!characters_reserve(raw, bytes)) return false;
    for (size_t i = 0; i < bytes; ++*position) {
        uint32_t code;
        i += utf8_next((const unsigned char *)text + i, &code);
        raw->items[raw->count++] = (character){code, *position, *position + 1};
    }
    scratch->pre_tokenizer.normalizer.grown = NULL;
    scratch->pre_tokenizer.normalizer.most = text_limit(raw->count);
    work->uneven = false;
    if (!cut_added(self, ADDED_RAW, raw->items, 0, raw->count, work->special_as_text, add_raw_part, work)) return false;
    return pre_tokenizer_run(&self->pre_tokenizer, &scratch->pool, &scratch->list, &scratch->pre_tokenizer);
}

/* Tokenises a segment whose first character has the number *position, and whose first piece the number *word; both move
 * behind it. */
static bool run_segment(cutting *work, const char *text, size_t bytes, uint32_t *position, uint32_t *word,
                        token_list *list) {
    const tokenizer *self = work->tokenizer;
    tokenizer_scratch *scratch = work->scratch;
    if (!cut_segment(work, text, bytes, position)) return false;
    tokenize_function *tokenize = models[self->model.kind];
    for (size_t i = 0; i < scratch->list.count; i++, ++*word) {
        piece here = scratch->list.items[i];
        scratch->spans.count = 0;
        if (here.id >= 0) {
            token_span span = {here.id, (uint32_t)here.begin, (uint32_t)here.end, false};
            span.surface = differs(self, &span, scratch->pool.items);
            if (!add_token(scratch, list, &span, *word)) return false;
            continue;
        }
        if (!tokenize(&self->model, &scratch->pool, here.begin, here.end, &scratch->spans, &scratch->model))
            return false;
        for (size_t j = 0; j < scratch->spans.count; j++)
            if (!add_token(scratch, list, &scratch->spans.items[j], *word)) return false;
    }
    return true;
}

/* Removes the tokens that are not kept, with their surfaces; those of the list are the scratch's surfaces from `own`
 * on, in the order of the tokens. */
static void keep_tokens(tokenizer_scratch *scratch, token_list *list, const token_choice *how, size_t own) {
    if (list->count <= how->most) return;
    size_t drop = list->count - how->most, from = how->last ? 0 : how->most;
    for (size_t i = from; i < from + drop; i++)
        if (list->items[i].surface) free(scratch->surfaces[list->items[i].surface - 1]);
    if (how->last) {
        memmove(list->items, list->items + drop, how->most * sizeof *list->items);
        list->first += drop;
    }
    list->count = how->most;
    for (size_t i = 0; i < list->count; i++) {
        token *kept = &list->items[i];
        if (!kept->surface) continue;
        scratch->surfaces[own] = scratch->surfaces[kept->surface - 1];
        kept->surface = (uint32_t)++own;
    }
    scratch->surface_count = own;
}

static rubato_status fail_stage(const tokenizer_scratch *scratch, size_t bytes, rubato_error *error) {
    const normalizer_scratch *normal = &scratch->pre_tokenizer.normalizer;
    if (!normal->grown) return fail_memory(error);
    return fail(
        error, RUBATO_BAD_ARGUMENT,
        "%s of tokenizer.json makes more than %zu characters of a text's %zu bytes; leave the text out, or take "
        "another tokenizer",
        normal->grown, normal->most, bytes);
}

/* Removes the surfaces from number `own` on. */
static void drop_surfaces(tokenizer_scratch *scratch, size_t own) {
    while (scratch->surface_count > own) free(scratch->surfaces[--scratch->surface_count]);
}

/* Segment by segment, each of at least so many bytes. *uneven: a seam was not safe, and the tokens are void. */
static rubato_status run_segments(cutting *work, const char *text, size_t bytes, size_t segment,
                                  const token_choice *how, token_list *list, bool *uneven, rubato_error *error) {
    const tokenizer *self = work->tokenizer;
    uint32_t position = 0, word = 0;
    size_t own = work->scratch->surface_count;
    list->count = list->first = list->total = 0;
    *uneven = false;
    for (size_t at = 0, end; at < bytes; at = end) {
        end = bytes - at > segment ? seams_next(&self->seams, text, at + segment, bytes) : bytes;
        if (end - at > self->most_bytes && how->most != SIZE_MAX)
            return fail(error, RUBATO_BAD_ARGUMENT,
                        "%zu bytes without a blank between plain characters, where this tokenizer's texts could be "
                        "cut; at most %zu are taken where a text is truncated",
                        end - at, self->most_bytes);
        size_t before = list->count;
        work->continues = work->open;
        work->open = false;
        if (!run_segment(work, text + at, end - at, &position, &word, list))
            return fail_stage(work->scratch, end - at, error);
        *uneven = work->open && work->uneven && end < bytes;
        if (*uneven) return RUBATO_OK;
        list->total += list->count - before;
        keep_tokens(work->scratch, list, how, own);
    }
    return RUBATO_OK;
}

rubato_status tokenizer_run(const tokenizer *self, const char *text, size_t bytes, const token_choice *how,
                            size_t which, tokenizer_scratch *scratch, rubato_error *error) {
    token_list *list = &scratch->tokens[which];
    cutting work = {.tokenizer = self, .scratch = scratch, .special_as_text = how->special_as_text};
    size_t own = scratch->surface_count;
    bool uneven;
    TRY(run_segments(&work, text, bytes, self->segment_bytes, how, list, &uneven, error));
    if (!uneven) return RUBATO_OK;
    drop_surfaces(scratch, own);
    work.open = false;
    return run_segments(&work, text, bytes, SIZE_MAX, how, list, &uneven, error);
}

rubato_status tokenizer_cut(const tokenizer *self, const char *text, size_t bytes, tokenizer_scratch *scratch,
                            rubato_error *error) {
    cutting work = {.tokenizer = self, .scratch = scratch};
    uint32_t position = 0;
    return cut_segment(&work, text, bytes, &position) ? RUBATO_OK : fail_stage(scratch, bytes, error);
}
