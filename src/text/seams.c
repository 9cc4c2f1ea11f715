/* Finding seams. */
#include "text/seams.h"

#include <string.h>

#include "base/utf8.h"
#include "text/unicode.h"

enum { BLANK = ' ', LOW_LINE = 0x2581 };

/* Letters of two bytes that no normaliser changes but to lower case: letters that have no decomposition, are no part of
 * one, and stand alone in their grapheme clusters (tests/text/test_segments.c checks it). */
static const code_range wide_letters[] = {{0x410, 0x418}, {0x41a, 0x438}, {0x43a, 0x44f},
                                          {0x5d0, 0x5ea}, {0x628, 0x63a}, {0x641, 0x648}};

static bool is_wide(uint32_t code) {
    for (size_t i = 0; i < sizeof wide_letters / sizeof wide_letters[0]; i++)
        if (code >= wide_letters[i].first && code <= wide_letters[i].last) return true;
    return false;
}

static uint32_t lower_of(uint32_t code) {
    uint32_t lower[3];
    character_lower(code, lower);
    return lower[0];
}

/* Neither this character nor its other case may stand beside a blank. */
static void forbid(seams *self, uint32_t code) {
    for (uint32_t c = 0; c < 128; c++)
        if (c == code || lower_of(c) == lower_of(code)) self->plain[c] = false;
    if (is_wide(code)) self->wide = false;
}

/* ---- Normalisers ---- */

/* Whether the map leaves the character alone, or gives its lower case. */
static bool maps_to_itself(const charsmap *map, uint32_t code) {
    char bytes[4], lower[4];
    size_t size = utf8_put(bytes, code), lower_size = utf8_put(lower, lower_of(code));
    const char *found = charsmap_find(map, bytes, size);
    if (!found) return true;
    size_t length = strlen(found);
    return (length == size && memcmp(found, bytes, size) == 0) ||
           (length == lower_size && memcmp(found, lower, lower_size) == 0);
}

static void take_map(seams *self, const charsmap *map) {
    if (!maps_to_itself(map, BLANK)) self->none = true;
    for (uint32_t c = 0; c < 128; c++)
        if (self->plain[c] && !maps_to_itself(map, c)) forbid(self, c);
    for (size_t i = 0; i < sizeof wide_letters / sizeof wide_letters[0]; i++)
        for (uint32_t c = wide_letters[i].first; c <= wide_letters[i].last; c++)
            if (!maps_to_itself(map, c)) self->wide = false;
}

static bool all_ascii(const uint32_t *codes, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (codes[i] >= 0x80) return false;
    return true;
}

/* `blank` is what the blank has become; `foreign`: after an earlier step the next neighbour but one of the blank may be
 * a character that joins its own neighbour. */
static void take_step(seams *self, const normalizer_step *step, uint32_t *blank, bool *foreign) {
    switch (step->kind) {
    case NORMALIZE_LOWERCASE:
    case NORMALIZE_STRIP: break;
    case NORMALIZE_PREPEND: *foreign = *foreign || !all_ascii(step->content, step->content_count); break;
    case NORMALIZE_REPLACE:
        if (!step->space_runs && step->pattern_count == 1 && step->pattern[0] == *blank) {
            if (step->content_count != 1 || (step->content[0] != BLANK && step->content[0] != LOW_LINE))
                self->none = true;
            else
                *blank = step->content[0];
        }
        for (size_t i = 0; i < step->pattern_count; i++) forbid(self, step->pattern[i]);
        *foreign = *foreign || step->content_count == 0 || !all_ascii(step->content, step->content_count);
        break;
    case NORMALIZE_PRECOMPILED:
        self->none = self->none || *foreign || *blank != BLANK;
        take_map(self, &step->map);
        *foreign = true;
        break;
    case NORMALIZE_BERT:
    case NORMALIZE_NFC:
    case NORMALIZE_NFD:
    case NORMALIZE_NFKC:
    case NORMALIZE_NFKD:
    case NORMALIZE_STRIP_ACCENTS:
    case NORMALIZE_NMT: self->none = self->none || *foreign || *blank != BLANK; break;
    default: self->none = true;
    }
}

/* ---- Pre-tokenisers ---- */

/* Whether they cut at the blank, and whether what they make of the text behind it does not depend on the cut. */
static bool cuts(const pre_tokenizer *cutter, uint32_t blank) {
    for (size_t i = 0; i < cutter->count; i++) {
        const pre_tokenizer_step *step = &cutter->steps[i];
        switch (step->kind) {
        case SPLIT_BERT:
        case SPLIT_WHITESPACE:
        case SPLIT_SPACES: return blank == BLANK;
        case SPLIT_PUNCTUATION:
        case SPLIT_DIGITS: break; /* each character by itself */
        case SPLIT_METASPACE: return step->split && (blank == BLANK || blank == step->replacement);
        case SPLIT_BYTE_LEVEL: return step->split && blank == BLANK;
        }
    }
    return false;
}

seams seams_of(const normalizer *normal, const pre_tokenizer *cutter) {
    seams self = {.wide = true};
    uint32_t blank = BLANK;
    bool foreign = false;
    for (int c = '!'; c <= '~'; c++) self.plain[c] = true;
    for (size_t i = 0; i < normal->count; i++) take_step(&self, &normal->steps[i], &blank, &foreign);
    self.none = self.none || !cuts(cutter, blank);
    return self;
}

void seams_take_added(seams *self, const character *text, size_t count, bool right_strip) {
    for (size_t i = 0; i < count; i++)
        if (character_flags(text[i].code) & CHARACTER_SPACE || text[i].code == LOW_LINE) self->none = true;
    if (right_strip && count) forbid(self, text[count - 1].code);
}

/* ---- Texts ---- */

/* The character that ends before the byte `at`, of at most two bytes; 0 where there is none. */
static uint32_t before(const unsigned char *text, size_t at, size_t *begin) {
    *begin = 0;
    if (at == 0) return 0;
    *begin = at - 1;
    if (text[at - 1] < 0x80) return text[at - 1];
    if (at < 2 || text[at - 2] < 0xc0 || text[at - 2] > 0xdf) return 0;
    *begin = at - 2;
    return (text[at - 2] & 0x1fu) << 6 | (text[at - 1] & 0x3fu);
}

static bool beside(const seams *self, uint32_t code) {
    return code < 128 ? self->plain[code] : self->wide && is_wide(code);
}

/* A character that joins no neighbour. */
static bool apart(uint32_t code) {
    return (code >= ' ' && code <= '~') || is_wide(code);
}

static bool is_seam(const seams *self, const unsigned char *text, size_t at, size_t bytes) {
    size_t begin, next = at + 1;
    uint32_t code;
    if (!beside(self, before(text, at, &begin)) || !apart(before(text, begin, &begin))) return false;
    if (next >= bytes) return false;
    next += utf8_next(text + next, &code);
    if (!beside(self, code)) return false;
    if (next >= bytes) return true;
    utf8_next(text + next, &code);
    return apart(code);
}

size_t seams_next(const seams *self, const char *text, size_t from, size_t bytes) {
    if (self->none) return bytes;
    for (size_t at = from; at < bytes; at++) {
        const char *blank = memchr(text + at, BLANK, bytes - at);
        if (!blank) return bytes;
        at = (size_t)(blank - text);
        if (is_seam(self, (const unsigned char *)text, at, bytes)) return at;
    }
    return bytes;
}
