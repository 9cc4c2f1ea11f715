/* Normalisers. Each step writes a list of changes, which is then applied. */
#define _POSIX_C_SOURCE 200809L
#include "text/normalizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/utf8.h"
#include "text/unicode.h"

const char *const normalizer_names[NORMALIZERS] = {
    [NORMALIZE_BERT] = "BertNormalizer",
    [NORMALIZE_NFC] = "NFC",
    [NORMALIZE_NFD] = "NFD",
    [NORMALIZE_NFKC] = "NFKC",
    [NORMALIZE_NFKD] = "NFKD",
    [NORMALIZE_LOWERCASE] = "Lowercase",
    [NORMALIZE_STRIP] = "Strip",
    [NORMALIZE_STRIP_ACCENTS] = "StripAccents",
    [NORMALIZE_REPLACE] = "Replace",
    [NORMALIZE_PREPEND] = "Prepend",
    [NORMALIZE_NMT] = "Nmt",
    [NORMALIZE_BYTE_LEVEL] = "ByteLevel",
    [NORMALIZE_PRECOMPILED] = "Precompiled",
};

size_t text_limit(size_t count) {
    enum { MANY = 36, LONG = 1 << 24, SHORT = 1024 };
    return 4 * count + size_min(MANY * count, LONG) + SHORT;
}

bool text_within(normalizer_scratch *scratch, size_t count, const char *step) {
    if (count <= scratch->most) return true;
    scratch->grown = step;
    return false;
}

void normalizer_free(normalizer *self) {
    for (size_t i = 0; i < self->count; i++) {
        free(self->steps[i].pattern);
        free(self->steps[i].content);
        charsmap_free(&self->steps[i].map);
    }
    free(self->steps);
    *self = (normalizer){0};
}

void normalizer_scratch_free(normalizer_scratch *scratch) {
    changes_free(&scratch->list);
    characters_free(&scratch->spare);
}

/* normalizer_run puts the step's name in its place. */
static bool within(normalizer_scratch *scratch, size_t count) {
    return text_within(scratch, count, "");
}

/* Starts a list with room for `most` changes. */
static bool start(normalizer_scratch *scratch, size_t most) {
    scratch->list.count = 0;
    scratch->list.skip = 0;
    return changes_reserve(&scratch->list, most);
}

static bool finish(characters *text, size_t begin, normalizer_scratch *scratch) {
    uint32_t origin = begin < text->count ? text->items[begin].first : 0;
    return characters_apply(text, begin, &scratch->list, &scratch->spare, origin);
}

/* Keeps the code points for which `keep` is true. Their offsets do not change, so this needs no list of changes. */
typedef bool keep_function(uint32_t code);

static void filter(characters *text, size_t begin, keep_function *keep) {
    size_t out = begin;
    for (size_t i = begin; i < text->count; i++)
        if (keep(text->items[i].code)) text->items[out++] = text->items[i];
    text->count = out;
}

static bool not_nonspacing(uint32_t code) {
    return code < 0x300 || !(character_flags(code) & CHARACTER_NONSPACING);
}

static bool not_mark(uint32_t code) {
    return code < 0x300 || !(character_flags(code) & CHARACTER_MARK);
}

/* Sorts a run of marks by class, and leaves those of one class in their order: counts the classes, then puts every mark
 * in its place. `spare` has room for the run. */
static void sort_run(change *items, size_t count, change *spare) {
    size_t place[256] = {0};
    for (size_t i = 0; i < count; i++) place[character_combining_class(items[i].code) & 255]++;
    for (size_t class = 0, at = 0; class < 256; class ++) {
        size_t here = place[class];
        place[class] = at;
        at += here;
    }
    for (size_t i = 0; i < count; i++) spare[place[character_combining_class(items[i].code) & 255]++] = items[i];
    memcpy(items, spare, count * sizeof *items);
}

/* The same for a short run, by insertion. */
static void insert_run(change *items, size_t count) {
    for (size_t i = 1; i < count; i++) {
        change moved = items[i];
        unsigned class = character_combining_class(moved.code);
        size_t at = i;
        for (; at > 0 && character_combining_class(items[at - 1].code) > class; at--) items[at] = items[at - 1];
        items[at] = moved;
    }
}

/* Canonical order of the marks. A run of marks may be as long as the text. False when memory is short. */
static bool order_marks(changes *list) {
    enum { SHORT = 32 };
    for (size_t begin = 0, end; begin < list->count; begin = end) {
        for (end = begin; end < list->count && character_combining_class(list->items[end].code);) end++;
        size_t count = end - begin;
        if (count > SHORT) {
            if (!changes_reserve(list, count)) return false; /* behind the list */
            sort_run(list->items + begin, count, list->items + list->count);
        } else if (count > 1) {
            insert_run(list->items + begin, count);
        }
        if (count == 0) end++;
    }
    return true;
}

/* Composition after decomposition. A composite replaces two parts: its shift is the sum of theirs, less one for the
 * part that was removed. */
static void compose(changes *list) {
    size_t out = 0, starter = SIZE_MAX;
    unsigned last_class = 0;
    for (size_t i = 0; i < list->count; i++) {
        change here = list->items[i];
        unsigned class = character_combining_class(here.code);
        if (starter != SIZE_MAX && (last_class < class || (last_class == 0 && out == starter + 1))) {
            uint32_t composite = character_compose(list->items[starter].code, here.code);
            if (composite) {
                list->items[starter].code = composite;
                list->items[starter].shift += here.shift - 1;
                continue;
            }
        }
        if (class == 0) starter = out;
        last_class = class;
        list->items[out++] = here;
    }
    list->count = out;
}

static bool decompose(characters *text, size_t begin, bool compatibility, bool recompose, normalizer_scratch *scratch) {
    size_t count = text->count - begin;
    if (!start(scratch, count)) return false;
    changes *list = &scratch->list;
    for (size_t i = begin; i < text->count; i++) {
        uint32_t parts[MAX_DECOMPOSITION];
        size_t length = character_decompose(text->items[i].code, compatibility, parts);
        if (!within(scratch, begin + list->count + length) || !changes_reserve(list, length)) return false;
        for (size_t j = 0; j < length; j++) changes_put(list, parts[j], j > 0);
    }
    if (!order_marks(list)) return false;
    if (recompose) compose(list);
    return finish(text, begin, scratch);
}

static bool lowercase(characters *text, size_t begin, normalizer_scratch *scratch) {
    bool longer = false;
    for (size_t i = begin; i < text->count && !longer; i++) longer = text->items[i].code == 0x130;
    uint32_t lower[3];
    if (!longer) { /* one code point for one: in place */
        for (size_t i = begin; i < text->count; i++) {
            character_lower(text->items[i].code, lower);
            text->items[i].code = lower[0];
        }
        return true;
    }
    if (!start(scratch, (text->count - begin) * 3)) return false;
    for (size_t i = begin; i < text->count; i++) {
        size_t length = character_lower(text->items[i].code, lower);
        for (size_t j = 0; j < length; j++) changes_put(&scratch->list, lower[j], j > 0);
    }
    return finish(text, begin, scratch);
}

/* BERT's cleaning, spaces around ideographs, removal of accents, and lower case. ASCII, the common case, takes one
 * pass. */
static bool bert(const normalizer_step *step, characters *text, size_t begin, normalizer_scratch *scratch) {
    bool ascii = true, ideographs = false;
    size_t out = begin;
    for (size_t i = begin; i < text->count; i++) {
        character here = text->items[i];
        if (here.code < 0x80) {
            if (step->clean && (here.code < 0x20 || here.code == 0x7f)) {
                if (here.code != '\t' && here.code != '\n' && here.code != '\r') continue;
                here.code = ' ';
            } else if (step->lower && here.code >= 'A' && here.code <= 'Z') {
                here.code += 32;
            }
        } else {
            ascii = false;
            if (step->clean) {
                unsigned flags = character_flags(here.code);
                if (flags & CHARACTER_DROP) continue;
                if (flags & CHARACTER_SPACE) here.code = ' ';
            }
            ideographs = ideographs || character_is_cjk(here.code);
        }
        text->items[out++] = here;
    }
    text->count = out;
    if (ascii) return true;
    if (step->cjk && ideographs) {
        scratch->spare.count = 0;
        if (!characters_reserve(&scratch->spare, 3 * (out - begin))) return false;
        characters *spare = &scratch->spare;
        for (size_t i = begin; i < out; i++) {
            character here = text->items[i], space = {' ', here.first, here.last};
            bool apart = character_is_cjk(here.code);
            if (apart) spare->items[spare->count++] = space;
            spare->items[spare->count++] = here;
            if (apart) spare->items[spare->count++] = space;
        }
        text->count = begin;
        if (!characters_reserve(text, spare->count)) return false;
        memcpy(text->items + begin, spare->items, spare->count * sizeof *spare->items);
        text->count += spare->count;
    }
    if (step->accents) {
        if (!decompose(text, begin, false, false, scratch)) return false;
        filter(text, begin, not_nonspacing);
    }
    return !step->lower || lowercase(text, begin, scratch);
}

static bool strip(const normalizer_step *step, characters *text, size_t begin, bool continues) {
    size_t end = text->count;
    if (step->right)
        while (end > begin && character_flags(text->items[end - 1].code) & CHARACTER_SPACE) end--;
    size_t first = begin;
    if (step->left && !continues)
        while (first < end && character_flags(text->items[first].code) & CHARACTER_SPACE) first++;
    memmove(text->items + begin, text->items + first, (end - first) * sizeof *text->items);
    text->count = begin + end - first;
    return true;
}

static size_t match_length(const normalizer_step *step, const character *at, size_t left) {
    if (step->space_runs) {
        size_t run = 0;
        while (run < left && at[run].code == ' ') run++;
        return run >= 2 ? run : 0;
    }
    if (step->pattern_count == 0 || step->pattern_count > left) return 0;
    for (size_t i = 0; i < step->pattern_count; i++)
        if (at[i].code != step->pattern[i]) return 0;
    return step->pattern_count;
}

/* The inserted text gets the original position of the last character that it replaces. */
static bool replace(const normalizer_step *step, characters *text, size_t begin, normalizer_scratch *scratch) {
    characters *spare = &scratch->spare;
    spare->count = 0;
    bool changed = false;
    for (size_t i = begin; i < text->count;) {
        size_t length = match_length(step, text->items + i, text->count - i);
        size_t more = length ? step->content_count : 1;
        if (!within(scratch, begin + spare->count + more) || !characters_reserve(spare, more)) return false;
        if (length == 0) {
            spare->items[spare->count++] = text->items[i++];
            continue;
        }
        changed = true;
        character last = text->items[i + length - 1];
        for (size_t j = 0; j < step->content_count; j++)
            spare->items[spare->count++] = (character){step->content[j], last.first, last.last};
        i += length;
    }
    if (!changed) return true;
    text->count = begin;
    if (!characters_reserve(text, spare->count)) return false;
    if (spare->count) memcpy(text->items + begin, spare->items, spare->count * sizeof *spare->items);
    text->count += spare->count;
    return true;
}

bool prepend_apply(characters *text, size_t begin, const uint32_t *codes, size_t count) {
    if (begin == text->count || count == 0) return true;
    if (!characters_reserve(text, count)) return false;
    character first = text->items[begin];
    memmove(text->items + begin + count, text->items + begin, (text->count - begin) * sizeof *text->items);
    for (size_t i = 0; i < count; i++) text->items[begin + i] = (character){codes[i], first.first, first.last};
    text->count += count;
    return true;
}

static bool nmt_keep(uint32_t c) {
    return !((c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f);
}

static bool nmt_space(uint32_t c) {
    return c == 9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 || (c >= 0x200b && c <= 0x200f) || c == 0x2028 ||
           c == 0x2029 || c == 0x2581 || c == 0xfeff || c == 0xfffd;
}

uint32_t byte_level_code(unsigned char byte) {
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174) return byte;
    /* the other 68 follow from U+0100 on, in order */
    if (byte <= 32) return 256u + byte;
    if (byte <= 160) return 256u + 33 + (byte - 127u);
    return 256u + 67;
}

bool byte_level_apply(characters *text, size_t begin, normalizer_scratch *scratch) {
    characters *spare = &scratch->spare;
    spare->count = 0;
    if (!characters_reserve(spare, 4 * (text->count - begin))) return false;
    for (size_t i = begin; i < text->count; i++) {
        char bytes[4];
        character here = text->items[i];
        size_t length = utf8_put(bytes, here.code);
        for (size_t j = 0; j < length; j++)
            spare->items[spare->count++] = (character){byte_level_code((unsigned char)bytes[j]), here.first, here.last};
    }
    text->count = begin;
    if (!characters_reserve(text, spare->count)) return false;
    if (spare->count) memcpy(text->items + begin, spare->items, spare->count * sizeof *spare->items);
    text->count += spare->count;
    return true;
}

/* Replaces `old_count` code points by a text. Code points beyond old_count are inserted. When there are fewer, the last
 * one also removes the remaining old ones. */
static bool put_replacement(normalizer_scratch *scratch, size_t old_count, const char *text) {
    changes *list = &scratch->list;
    size_t size = strnlen(text, 4 * scratch->most), count = utf8_count(text, size);
    if (!within(scratch, list->count + count) || !changes_reserve(list, count)) return false;
    size_t number = 0;
    for (size_t i = 0; i < size; number++) {
        uint32_t code;
        i += utf8_next((const unsigned char *)text + i, &code);
        changes_put(list, code, number >= old_count);
    }
    if (count >= old_count) return true;
    if (list->count > 0)
        list->items[list->count - 1].shift -= (int32_t)(old_count - count);
    else
        scratch->uneven = true; /* as in the reference: no change tells that they are gone */
    return true;
}

static bool precompiled(const normalizer_step *step, characters *text, size_t begin, normalizer_scratch *scratch) {
    changes *list = &scratch->list;
    if (!start(scratch, text->count - begin)) return false;
    bool changed = false;
    for (size_t i = begin; i < text->count;) {
        size_t end = i + 1, size = 0;
        char bytes[8];
        int32_t state = 0;
        while (end < text->count && !grapheme_break(text->items[end - 1].code, text->items[end].code, &state)) end++;
        for (size_t j = i; j < end && size < 6; j++) { /* clusters of six bytes and more are not looked up */
            char one[4];
            size_t length = utf8_put(one, text->items[j].code);
            if (size + length < 6) memcpy(bytes + size, one, length);
            size += length;
        }
        const char *whole = NULL;
        if (size < 6) whole = charsmap_find(&step->map, bytes, size);
        if (whole) {
            if (!put_replacement(scratch, end - i, whole)) return false;
            changed = true;
            i = end;
            continue;
        }
        for (; i < end; i++) {
            size = utf8_put(bytes, text->items[i].code);
            const char *one = charsmap_find(&step->map, bytes, size);
            if (one) {
                if (!put_replacement(scratch, 1, one)) return false;
                changed = true;
            } else {
                if (!changes_reserve(list, 1)) return false;
                changes_put(list, text->items[i].code, 0);
            }
        }
    }
    return !changed || finish(text, begin, scratch);
}

/* Prepend and Strip look at the beginning of a text alone. */
static bool run_step(const normalizer_step *step, characters *text, size_t begin, bool continues,
                     normalizer_scratch *scratch) {
    switch (step->kind) {
    case NORMALIZE_BERT: return bert(step, text, begin, scratch);
    case NORMALIZE_NFC: return decompose(text, begin, false, true, scratch);
    case NORMALIZE_NFD: return decompose(text, begin, false, false, scratch);
    case NORMALIZE_NFKC: return decompose(text, begin, true, true, scratch);
    case NORMALIZE_NFKD: return decompose(text, begin, true, false, scratch);
    case NORMALIZE_LOWERCASE: return lowercase(text, begin, scratch);
    case NORMALIZE_STRIP: return strip(step, text, begin, continues);
    case NORMALIZE_STRIP_ACCENTS: filter(text, begin, not_mark); return true;
    case NORMALIZE_REPLACE: return replace(step, text, begin, scratch);
    case NORMALIZE_PREPEND:
        if (continues) return true;
        return within(scratch, text->count + step->content_count) &&
               prepend_apply(text, begin, step->content, step->content_count);
    case NORMALIZE_NMT:
        filter(text, begin, nmt_keep);
        for (size_t i = begin; i < text->count; i++)
            if (nmt_space(text->items[i].code)) text->items[i].code = ' ';
        return true;
    case NORMALIZE_BYTE_LEVEL: return byte_level_apply(text, begin, scratch);
    case NORMALIZE_PRECOMPILED: return precompiled(step, text, begin, scratch);
    case NORMALIZERS: break;
    }
    return true;
}

bool normalizer_run(const normalizer *self, characters *text, size_t begin, bool continues,
                    normalizer_scratch *scratch) {
    scratch->uneven = false;
    for (size_t i = 0; i < self->count && text->count > begin; i++) {
        const char *name = normalizer_names[self->steps[i].kind];
        if (!run_step(&self->steps[i], text, begin, continues, scratch)) {
            if (scratch->grown) scratch->grown = name;
            return false;
        }
        if (!text_within(scratch, text->count, name)) return false;
    }
    return true;
}
