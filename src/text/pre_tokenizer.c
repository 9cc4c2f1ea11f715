/* Pre-tokenisers. A step cuts pieces; some steps first copy them to a new pool and change them there. */
#include "text/pre_tokenizer.h"

#include <string.h>

#include "text/unicode.h"

void pre_tokenizer_scratch_free(pre_tokenizer_scratch *scratch) {
    characters_free(&scratch->pool);
    pieces_free(&scratch->list);
    normalizer_scratch_free(&scratch->normalizer);
}

typedef enum { CLASS_SPACE, CLASS_SINGLE, CLASS_RUN, CLASS_OTHER_RUN } split_class;

/* The class of a character for a cutting step: white space is removed, single characters stand alone, runs of a class
 * stay together. */
static split_class classify(const pre_tokenizer_step *step, uint32_t code) {
    unsigned flags = character_flags(code);
    switch (step->kind) {
    case SPLIT_BERT:
        if (flags & CHARACTER_SPACE) return CLASS_SPACE;
        return flags & CHARACTER_PUNCTUATION ? CLASS_SINGLE : CLASS_RUN;
    case SPLIT_WHITESPACE:
        if (flags & CHARACTER_WORD) return CLASS_RUN;
        return flags & CHARACTER_SPACE ? CLASS_SPACE : CLASS_OTHER_RUN;
    case SPLIT_SPACES: return flags & CHARACTER_SPACE ? CLASS_SPACE : CLASS_RUN;
    case SPLIT_PUNCTUATION: return flags & CHARACTER_PUNCTUATION ? CLASS_SINGLE : CLASS_RUN;
    default:
        if (!(flags & CHARACTER_NUMBER)) return CLASS_RUN;
        return step->individual ? CLASS_SINGLE : CLASS_OTHER_RUN;
    }
}

static bool cut_by_class(const pre_tokenizer_step *step, const characters *pool, piece whole, pieces *out) {
    size_t begin = whole.begin;
    split_class current = CLASS_SPACE;
    for (size_t i = whole.begin; i < whole.end; i++) {
        uint32_t code = pool->items[i].code;
        split_class here = (code | 32) - 'a' < 26 && step->kind != SPLIT_WHITESPACE ? CLASS_RUN : classify(step, code);
        if (here == current && here != CLASS_SINGLE) continue;
        if (current != CLASS_SPACE && !pieces_add(out, begin, i, -1)) return false;
        begin = i;
        current = here;
    }
    return current == CLASS_SPACE || pieces_add(out, begin, whole.end, -1);
}

/* The length of the match of GPT-2's pattern at the beginning of text:
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t gpt2_match(const character *text, size_t count) {
    if (text[0].code == '\'' && count > 1) {
        uint32_t a = text[1].code, b = count > 2 ? text[2].code : 0;
        if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
        if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
    }
    const unsigned classes = CHARACTER_LETTER | CHARACTER_NUMBER | CHARACTER_SPACE;
    size_t begin = text[0].code == ' ' && count > 1 ? 1 : 0;
    unsigned class = character_flags(text[begin].code) & classes;
    if (!(class & CHARACTER_SPACE)) {
        size_t end = begin + 1;
        while (end < count && (character_flags(text[end].code) & classes) == class) end++;
        return end;
    }
    size_t end = 1;
    while (end < count && character_flags(text[end].code) & CHARACTER_SPACE) end++;
    return end < count && end > 1 ? end - 1 : end;
}

/* The plain characters, with the prefix space, are put at the end of the old pool while they are cut. Each piece is
 * then written to the new pool as bytes. */
static bool byte_level(const pre_tokenizer_step *step, characters *pool, piece whole, characters *out_pool, pieces *out,
                       normalizer_scratch *scratch) {
    size_t begin = whole.begin, end = whole.end;
    if (step->prefix_space && pool->items[begin].code != ' ') {
        size_t count = end - begin;
        character first = pool->items[begin];
        if (!characters_reserve(pool, count + 1)) return false;
        begin = pool->count;
        pool->items[begin] = (character){' ', first.first, first.last};
        memcpy(pool->items + begin + 1, pool->items + whole.begin, count * sizeof *pool->items);
        pool->count += count + 1;
        end = pool->count;
    }
    while (begin < end) {
        size_t length = step->split ? gpt2_match(pool->items + begin, end - begin) : end - begin;
        size_t to = out_pool->count;
        if (!characters_reserve(out_pool, length)) return false;
        memcpy(out_pool->items + to, pool->items + begin, length * sizeof *pool->items);
        out_pool->count += length;
        if (!byte_level_apply(out_pool, to, scratch) || !pieces_add(out, to, out_pool->count, -1)) return false;
        begin += length;
    }
    return true;
}

static bool metaspace(const pre_tokenizer_step *step, const characters *pool, piece whole, characters *out_pool,
                      pieces *out) {
    size_t begin = out_pool->count;
    if (!characters_reserve(out_pool, whole.end - whole.begin + 1)) return false;
    for (size_t i = whole.begin; i < whole.end; i++) {
        character here = pool->items[i];
        if (here.code == ' ') here.code = step->replacement;
        out_pool->items[out_pool->count++] = here;
    }
    character first = out_pool->items[begin];
    bool wanted = step->prepend == PREPEND_ALWAYS || (step->prepend == PREPEND_FIRST && first.first == 0);
    if (wanted && first.code != step->replacement && !prepend_apply(out_pool, begin, &step->replacement, 1))
        return false;
    if (!step->split) return pieces_add(out, begin, out_pool->count, -1);
    for (size_t i = begin + 1; i < out_pool->count; i++)
        if (out_pool->items[i].code == step->replacement) {
            if (!pieces_add(out, begin, i, -1)) return false;
            begin = i;
        }
    return pieces_add(out, begin, out_pool->count, -1);
}

static bool copy_piece(const characters *pool, piece whole, characters *out_pool, pieces *out) {
    size_t begin = out_pool->count, count = whole.end - whole.begin;
    if (!characters_reserve(out_pool, count)) return false;
    memcpy(out_pool->items + begin, pool->items + whole.begin, count * sizeof *pool->items);
    out_pool->count += count;
    return pieces_add(out, begin, out_pool->count, whole.id);
}

/* Of those that make texts longer. */
static const char *const names[] = {[SPLIT_METASPACE] = "Metaspace", [SPLIT_BYTE_LEVEL] = "ByteLevel"};

bool pre_tokenizer_run(const pre_tokenizer *self, characters *pool, pieces *list, pre_tokenizer_scratch *scratch) {
    for (size_t number = 0; number < self->count; number++) {
        const pre_tokenizer_step *step = &self->steps[number];
        bool rewrites = step->kind == SPLIT_BYTE_LEVEL || step->kind == SPLIT_METASPACE;
        characters *out_pool = rewrites ? &scratch->pool : pool;
        pieces *out = &scratch->list;
        out->count = 0;
        if (rewrites) out_pool->count = 0;
        for (size_t i = 0; i < list->count; i++) {
            piece whole = list->items[i];
            bool done;
            if (whole.id >= 0)
                done = rewrites ? copy_piece(pool, whole, out_pool, out)
                                : pieces_add(out, whole.begin, whole.end, whole.id);
            else if (step->kind == SPLIT_BYTE_LEVEL)
                done = byte_level(step, pool, whole, out_pool, out, &scratch->normalizer);
            else if (step->kind == SPLIT_METASPACE)
                done = metaspace(step, pool, whole, out_pool, out);
            else
                done = cut_by_class(step, pool, whole, out);
            if (!done || !text_within(&scratch->normalizer, out_pool->count, names[step->kind])) return false;
        }
        if (rewrites) {
            characters swap = *pool;
            *pool = scratch->pool;
            scratch->pool = swap;
        }
        pieces swap = *list;
        *list = scratch->list;
        scratch->list = swap;
    }
    return true;
}
