#include "text/merges_training.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/random.h"
#include "base/utf8.h"
#include "text/alphabet.h"

/* ---- Pairs ---- */

/* Numbers of words; the last one is added once only. */
typedef struct places {
    uint32_t *items;
    size_t count, capacity;
} places;

static bool places_add(places *list, uint32_t word) {
    if (list->count && list->items[list->count - 1] == word) return true;
    uint32_t *items = list_grown(list->items, list->count, &list->capacity, sizeof *items);
    if (!items) return false;
    list->items = items;
    list->items[list->count++] = word;
    return true;
}

/* Two neighbouring tokens: how often they stand together now, and the words in which they came together since the pair
 * was last put into the queue. */
typedef struct pair {
    uint64_t key; /* left << 32 | right; UINT64_MAX: a free slot */
    int64_t count;
    places fresh;
} pair;

/* A pair of the queue, with its count at the time, and the words in which it came together before that. */
typedef struct candidate {
    uint64_t key;
    int64_t count;
    places where;
} candidate;

typedef struct training {
    const token_options *options;
    trained_vocabulary *out;
    const word_counts *words;
    uint32_t *symbols; /* of all words */
    size_t *begin;     /* [words + 1] in symbols */
    size_t *length;    /* [words] shrinks as symbols are merged */
    pair *pairs;       /* hash table */
    size_t pair_count, slot_count;
    uint64_t *touched; /* keys of the pairs with fresh words */
    size_t touched_count, touched_capacity;
    candidate *queue; /* heap: the best first */
    size_t queue_count, queue_capacity;
} training;

static pair *pair_slot(pair *pairs, size_t slot_count, uint64_t key) {
    size_t slot = random_hash(key) & (slot_count - 1);
    while (pairs[slot].key != UINT64_MAX && pairs[slot].key != key) slot = (slot + 1) & (slot_count - 1);
    return &pairs[slot];
}

static bool grow_pairs(training *t) {
    size_t count = t->slot_count ? 2 * t->slot_count : 4096;
    pair *pairs = malloc(count * sizeof *pairs);
    if (!pairs) return false;
    for (size_t i = 0; i < count; i++) pairs[i] = (pair){.key = UINT64_MAX};
    for (size_t i = 0; i < t->slot_count; i++)
        if (t->pairs[i].key != UINT64_MAX) *pair_slot(pairs, count, t->pairs[i].key) = t->pairs[i];
    free(t->pairs);
    t->pairs = pairs;
    t->slot_count = count;
    return true;
}

/* A pair stands together once more in a word, or once less. */
static bool change_pair(training *t, uint32_t left, uint32_t right, int change, uint32_t word) {
    const uint64_t key = (uint64_t)left << 32 | right;
    if (2 * (t->pair_count + 1) > t->slot_count && !grow_pairs(t)) return false;
    pair *found = pair_slot(t->pairs, t->slot_count, key);
    if (found->key == UINT64_MAX) {
        found->key = key;
        t->pair_count++;
    }
    found->count += change * (int64_t)t->words->counts[word];
    if (change < 0) return true;
    if (!found->fresh.count) {
        uint64_t *touched = list_grown(t->touched, t->touched_count, &t->touched_capacity, sizeof *touched);
        if (!touched) return false;
        t->touched = touched;
        t->touched[t->touched_count++] = key;
    }
    return places_add(&found->fresh, word);
}

/* ---- The queue ---- */

static bool better(const candidate *a, const candidate *b) {
    return a->count != b->count ? a->count > b->count : a->key < b->key;
}

static bool queue_push(training *t, candidate entry) {
    candidate *queue = list_grown(t->queue, t->queue_count, &t->queue_capacity, sizeof *queue);
    if (!queue) return false;
    t->queue = queue;
    size_t at = t->queue_count++;
    for (size_t up; at > 0 && better(&entry, &t->queue[up = (at - 1) / 2]); at = up) t->queue[at] = t->queue[up];
    t->queue[at] = entry;
    return true;
}

static candidate queue_pop(training *t) {
    candidate top = t->queue[0], last = t->queue[--t->queue_count];
    size_t at = 0;
    for (size_t down; (down = 2 * at + 1) < t->queue_count; at = down) {
        if (down + 1 < t->queue_count && better(&t->queue[down + 1], &t->queue[down])) down++;
        if (!better(&t->queue[down], &last)) break;
        t->queue[at] = t->queue[down];
    }
    if (t->queue_count) t->queue[at] = last;
    return top;
}

/* The pairs with fresh words become candidates. */
static bool queue_touched(training *t) {
    while (t->touched_count) {
        pair *found = pair_slot(t->pairs, t->slot_count, t->touched[t->touched_count - 1]);
        if (found->count > 0) {
            if (!queue_push(t, (candidate){found->key, found->count, found->fresh})) return false;
        } else {
            free(found->fresh.items);
        }
        found->fresh = (places){0};
        t->touched_count--;
    }
    return true;
}

/* ---- The alphabet ---- */

static rubato_status add_alphabet(training *t, rubato_error *error) {
    alphabet letters;
    rubato_status status = vocabulary_begin(t->out, &letters, t->words, t->options, error);
    for (size_t i = 0; i < letters.count && status == RUBATO_OK; i++) {
        char text[4];
        if (string_table_put(&t->out->tokens, text, utf8_put(text, letters.items[i].code)) == STRING_NONE)
            status = fail_memory(error);
    }
    alphabet_free(&letters);
    return status;
}

/* The token of a character that continues a word. */
static size_t marked(const token_options *options, const char *text, size_t size, char *out) {
    size_t mark = options->mark ? strlen(options->mark) : 0;
    if (mark) memcpy(out, options->mark, mark);
    memcpy(out + mark, text, size);
    return mark + size;
}

enum { MOST_MARK = 16 };

/* Words as symbols; characters that continue words become tokens as they are met. Characters outside of the alphabet
 * are left out. */
static bool spell_words(training *t) {
    const string_table *words = &t->words->words;
    size_t used = 0;
    t->symbols = malloc((words->bytes_used + 1) * sizeof *t->symbols);
    t->begin = malloc((words->count + 1) * sizeof *t->begin);
    t->length = malloc((words->count + 1) * sizeof *t->length);
    if (!t->symbols || !t->begin || !t->length || !grow_pairs(t)) return false;
    for (size_t i = 0, size; i < words->count; i++) {
        const char *word = string_table_at(words, i, &size);
        t->begin[i] = used;
        for (size_t j = 0; j < size;) {
            uint32_t code;
            char token[MOST_MARK + 4];
            size_t at = j, bytes = utf8_next((const unsigned char *)word + j, &code);
            j += bytes;
            if (string_table_find(&t->out->tokens, word + at, bytes) == STRING_NONE) continue;
            size_t id = at == 0 ? string_table_find(&t->out->tokens, word, bytes)
                                : string_table_put(&t->out->tokens, token, marked(t->options, word + at, bytes, token));
            if (id == STRING_NONE) return false;
            t->symbols[used++] = (uint32_t)id;
        }
        t->length[i] = used - t->begin[i];
        for (size_t j = t->begin[i]; j + 1 < used; j++)
            if (!change_pair(t, t->symbols[j], t->symbols[j + 1], 1, (uint32_t)i)) return false;
    }
    return queue_touched(t);
}

/* ---- Merging ---- */

/* Replaces a pair in a word by a token. */
static bool merge_word(training *t, uint32_t word, uint32_t left, uint32_t right, uint32_t made) {
    uint32_t *symbols = t->symbols + t->begin[word];
    size_t count = t->length[word], kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (symbols[i] != left || i + 1 == count || symbols[i + 1] != right) {
            symbols[kept++] = symbols[i];
            continue;
        }
        if (kept > 0 &&
            !(change_pair(t, symbols[kept - 1], left, -1, word) && change_pair(t, symbols[kept - 1], made, 1, word)))
            return false;
        symbols[kept++] = made;
        i++;
        if (i + 1 < count &&
            !(change_pair(t, right, symbols[i + 1], -1, word) && change_pair(t, made, symbols[i + 1], 1, word)))
            return false;
    }
    t->length[word] = kept;
    return true;
}

/* The token of a pair, by its text; a pair can give a token that is there already. */
static size_t joined(training *t, uint32_t left, uint32_t right) {
    string_table *tokens = &t->out->tokens;
    size_t left_size, right_size, mark = t->options->mark ? strlen(t->options->mark) : 0;
    const char *a = string_table_at(tokens, left, &left_size), *b = string_table_at(tokens, right, &right_size);
    if (mark && right_size >= mark && memcmp(b, t->options->mark, mark) == 0) {
        b += mark;
        right_size -= mark;
    }
    char *text = malloc(left_size + right_size + 1);
    if (!text) return STRING_NONE;
    memcpy(text, a, left_size);
    memcpy(text + left_size, b, right_size);
    size_t made = string_table_put(tokens, text, left_size + right_size);
    free(text);
    return made;
}

static bool note_merge(trained_vocabulary *out, uint32_t left, uint32_t right) {
    uint32_t(*merges)[2] = list_grown(out->merges, out->merge_count, &out->merge_capacity, sizeof *merges);
    if (!merges) return false;
    out->merges = merges;
    out->merges[out->merge_count][0] = left;
    out->merges[out->merge_count++][1] = right;
    return true;
}

static bool merge_candidate(training *t, const candidate *best) {
    const uint32_t left = (uint32_t)(best->key >> 32), right = (uint32_t)best->key;
    size_t made = joined(t, left, right);
    if (made == STRING_NONE || !note_merge(t->out, left, right)) return false;
    for (size_t i = 0; i < best->where.count; i++)
        if (!merge_word(t, best->where.items[i], left, right, (uint32_t)made)) return false;
    return queue_touched(t);
}

static rubato_status merge_pairs(training *t, rubato_error *error) {
    const token_options *options = t->options;
    while (t->out->tokens.count < options->tokens && t->queue_count) {
        candidate best = queue_pop(t);
        int64_t count = pair_slot(t->pairs, t->slot_count, best.key)->count;
        if (count != best.count) { /* pairs have gone since */
            best.count = count;
            if (count > 0 && queue_push(t, best)) continue;
            free(best.where.items);
            if (count > 0) return fail_memory(error);
            continue;
        }
        bool frequent = best.count > 0 && (uint64_t)best.count >= options->least_count;
        bool made = frequent && merge_candidate(t, &best);
        free(best.where.items);
        if (!frequent) return RUBATO_OK;
        if (!made) return fail_memory(error);
        if (options->progress && options->progress(options->progress_user, t->out->tokens.count, options->tokens))
            return fail(error, RUBATO_CANCELLED, "cancelled");
    }
    return RUBATO_OK;
}

static rubato_status train(training *t, rubato_error *error) {
    const token_options *options = t->options;
    TRY(add_alphabet(t, error));
    if (!spell_words(t)) return fail_memory(error);
    if (t->out->tokens.count > options->tokens)
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "a vocabulary of %zu tokens cannot hold the %zu special tokens and characters; give a larger size, "
                    "or a smaller alphabet",
                    options->tokens, t->out->tokens.count);
    return merge_pairs(t, error);
}

rubato_status merges_train(trained_vocabulary *out, const word_counts *words, const token_options *options,
                           rubato_error *error) {
    training t = {.options = options, .out = out, .words = words};
    *out = (trained_vocabulary){0};
    if (options->mark && strlen(options->mark) > MOST_MARK)
        return fail(error, RUBATO_BAD_ARGUMENT, "a mark of more than %d bytes", MOST_MARK);
    rubato_status status = train(&t, error);
    free(t.symbols);
    free(t.begin);
    free(t.length);
    for (size_t i = 0; i < t.slot_count; i++)
        if (t.pairs[i].key != UINT64_MAX) free(t.pairs[i].fresh.items);
    free(t.pairs);
    free(t.touched);
    for (size_t i = 0; i < t.queue_count; i++) free(t.queue[i].where.items);
    free(t.queue);
    return status;
}
