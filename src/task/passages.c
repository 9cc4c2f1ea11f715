/* Passages of whole sentences. */
#include "task/passages.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/utf8.h"
#include "text/unicode.h"

/* The place between two tokens, from the least to the best one to cut at. */
typedef enum joint { IN_WORD, BESIDE_WORD, BETWEEN_WORDS, BETWEEN_PARTS, BETWEEN_SENTENCES } joint;

static uint32_t character_at(const pointed_text *text, size_t place) {
    uint32_t code;
    utf8_next((const unsigned char *)text->text + text->bytes[place], &code);
    return code;
}

static bool is_space(uint32_t code) {
    return character_flags(code) & CHARACTER_SPACE;
}

static bool is_one_of(uint32_t code, const uint32_t *list) {
    while (*list && *list != code) list++;
    return *list != 0;
}

/* Quotation marks and brackets may stand between a sentence's end and the white space behind it. */
static bool closes(uint32_t code) {
    static const uint32_t list[] = {'"', '\'', ')', ']', '}', 0x2019, 0x201d, 0xbb, 0x300d, 0x300f, 0xff09, 0};
    return is_one_of(code, list);
}

static bool ends_sentence(uint32_t code) {
    static const uint32_t list[] = {'.', '!', '?', 0x2026, 0x6d4, 0x61f, 0x964, 0};
    return is_one_of(code, list);
}

/* Full stops, exclamation and question marks behind which no white space is written. */
static bool ends_ideographic(uint32_t code) {
    static const uint32_t list[] = {0x3002, 0xff01, 0xff1f, 0xff0e, 0};
    return is_one_of(code, list);
}

/* A small letter; scripts without capitals have none. */
static bool is_small(uint32_t code) {
    return (code >= 'a' && code <= 'z') || (code >= 0xdf && code <= 0xff) || (code >= 0x3b1 && code <= 0x3c9) ||
           (code >= 0x430 && code <= 0x45f);
}

/* Marks that stand at the end of what is before them, so that no passage begins with one. */
static bool leans_back(uint32_t code) {
    static const uint32_t list[] = {',', ';', ':', 0x3001, 0xff0c, 0xff1b, 0xff1a, 0};
    return closes(code) || ends_sentence(code) || ends_ideographic(code) || is_one_of(code, list);
}

/* Whether a full stop before `end` belongs to a short form: a single letter, or one of some titles and words. */
static bool is_short_form(const pointed_text *text, size_t end) {
    static const char *const forms[] = {"mr",  "mrs", "ms", "dr",  "prof", "st",  "jr", "sr",
                                        "rev", "gen", "vs", "fig", "no",   "vol", "al", NULL};
    char word[8] = "";
    size_t first = end, size = 0;
    while (first > 0 && end - first < sizeof word - 1 &&
           character_flags(character_at(text, first - 1)) & CHARACTER_LETTER)
        first--;
    for (size_t i = first; i < end; i++) {
        const uint32_t code = character_at(text, i);
        word[size++] = code < 128 ? (char)(code | 0x20) : '?';
    }
    word[size] = 0;
    if (size == 1) return true;
    for (size_t i = 0; forms[i]; i++)
        if (strcmp(forms[i], word) == 0) return true;
    return false;
}

/* Whether a single short line ends there, as a heading does, which belongs to what follows it. */
static bool is_heading(const pointed_text *text, size_t end) {
    enum { SHORT = 60 };
    size_t first = end;
    while (first > 0 && end - first <= SHORT && character_at(text, first - 1) != '\n') first--;
    return end - first <= SHORT && (first < 2 || is_space(character_at(text, first - 2)));
}

static joint joint_behind(const pointed_text *text, const text_token *one, const text_token *next) {
    size_t left = size_min(one->at.end, text->points), right = left, lines = 0;
    while (left > 0 && is_space(character_at(text, left - 1))) left--;
    for (right = left; right < text->points && is_space(character_at(text, right)); right++)
        lines += character_at(text, right) == '\n';
    const bool space = right > left;
    const uint32_t follows = right < text->points ? character_at(text, right) : 0;
    while (left > 0 && closes(character_at(text, left - 1))) left--;
    const uint32_t last = left > 0 ? character_at(text, left - 1) : 0;
    if (!space && leans_back(follows)) return IN_WORD;
    if (ends_ideographic(last)) return BETWEEN_SENTENCES;
    const bool ends = space && ends_sentence(last) && !(last == '.' && lines < 2 && is_short_form(text, left - 1));
    if (ends && (lines > 1 || !is_small(follows))) return BETWEEN_SENTENCES;
    if (ends || (lines > 1 && !is_heading(text, left))) return BETWEEN_PARTS;
    return space ? BETWEEN_WORDS : one->word != next->word ? BESIDE_WORD : IN_WORD;
}

/* Writes the number of the token behind each passage to ends [count]; returns the number of passages. */
static size_t cut(const pointed_text *text, const text_token *tokens, size_t count, size_t most, size_t *ends) {
    size_t passages = 0;
    for (size_t first = 0, end; first < count; first = end) {
        joint best = IN_WORD;
        end = size_min(count, first + size_min(most, count));
        for (size_t at = end; at < count && at > first && best < BETWEEN_SENTENCES; at--) {
            joint here = joint_behind(text, &tokens[at - 1], &tokens[at]);
            if (here > BETWEEN_WORDS && at - first < most / 4) here = BETWEEN_WORDS;
            if (here <= best) continue;
            best = here;
            end = at;
        }
        ends[passages++] = end;
    }
    return passages;
}

/* Without white space at both ends. */
static rubato_passage passage_of(const pointed_text *text, const text_token *tokens, size_t first, size_t end) {
    rubato_passage out = {.end = size_min(tokens[end - 1].at.end, text->points), .tokens = end - first};
    out.start = size_min(tokens[first].at.start, out.end);
    while (out.start < out.end && is_space(character_at(text, out.start))) out.start++;
    while (out.end > out.start && is_space(character_at(text, out.end - 1))) out.end--;
    return out;
}

rubato_status passage_list_create(passage_list *self, const pointed_text *text, const text_token *tokens, size_t count,
                                  size_t most, rubato_error *error) {
    size_t *ends = calloc(count + 1, sizeof *ends);
    *self = (passage_list){0};
    if (!ends) return fail_memory(error);
    const size_t passages = cut(text, tokens, count, most, ends);
    self->items = calloc(passages + 1, sizeof *self->items);
    if (self->items) self->count = passages;
    for (size_t i = 0; i < self->count; i++)
        self->items[i] = passage_of(text, tokens, i > 0 ? ends[i - 1] : 0, ends[i]);
    free(ends);
    return self->items ? RUBATO_OK : fail_memory(error);
}
