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

enum { MOST_CLOSING = 8 }; /* quotation marks and brackets behind the end of a sentence */

static joint joint_behind(const pointed_text *text, const text_token *one, const text_token *next) {
    size_t left = size_min(one->at.end, text->points), right = left, lines = 0;
    while (left > 0 && is_space(character_at(text, left - 1))) left--;
    for (right = left; right < text->points && is_space(character_at(text, right)); right++)
        lines += character_at(text, right) == '\n';
    const bool space = right > left;
    const uint32_t follows = right < text->points ? character_at(text, right) : 0;
    for (size_t i = 0; i < MOST_CLOSING && left > 0 && closes(character_at(text, left - 1)); i++) left--;
    const uint32_t last = left > 0 ? character_at(text, left - 1) : 0;
    if (!space && leans_back(follows)) return IN_WORD;
    if (ends_ideographic(last)) return BETWEEN_SENTENCES;
    const bool ends = space && ends_sentence(last) && !(last == '.' && lines < 2 && is_short_form(text, left - 1));
    if (ends && (lines > 1 || !is_small(follows))) return BETWEEN_SENTENCES;
    if (ends || (lines > 1 && !is_heading(text, left))) return BETWEEN_PARTS;
    return space ? BETWEEN_WORDS : one->word != next->word ? BESIDE_WORD : IN_WORD;
}

/* Whether a cut there would part the bytes of one character. */
static bool parts_character(const text_token *one, const text_token *next) {
    return next->at.start < one->at.end;
}

/* The last place for a cut that is not behind `most` tokens, unless one character has more. */
static size_t last_place(const text_token *tokens, size_t count, size_t first, size_t most) {
    size_t end = size_min(count, first + size_min(most, count));
    while (end > first + 1 && end < count && parts_character(&tokens[end - 1], &tokens[end])) end--;
    while (end < count && parts_character(&tokens[end - 1], &tokens[end])) end++;
    return end;
}

/* Writes the number of the token behind each passage to ends [count]; returns the number of passages. */
static size_t cut(const pointed_text *text, const text_token *tokens, size_t count, size_t most, size_t *ends) {
    size_t passages = 0;
    for (size_t first = 0, end; first < count; first = end) {
        joint best = IN_WORD;
        end = last_place(tokens, count, first, most);
        for (size_t at = end; at < count && at > first && best < BETWEEN_SENTENCES; at--) {
            if (parts_character(&tokens[at - 1], &tokens[at])) continue;
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
static void trim(const pointed_text *text, size_t *start, size_t *end) {
    *end = size_min(*end, text->points);
    *start = size_min(*start, *end);
    while (*start < *end && is_space(character_at(text, *start))) ++*start;
    while (*end > *start && is_space(character_at(text, *end - 1))) --*end;
}

static bool is_visible(const pointed_text *text, const text_token *one) {
    size_t start = one->at.start, end = one->at.end;
    trim(text, &start, &end);
    return start < end;
}

rubato_status passage_list_create(passage_list *self, const pointed_text *text, const text_token *tokens, size_t count,
                                  size_t most, rubato_error *error) {
    size_t visible = 0;
    *self = (passage_list){0};
    /* tokens of white space belong to the passage before them, and count for none */
    text_token *seen = calloc(count + 1, sizeof *seen);
    size_t *place = calloc(count + 1, sizeof *place), *ends = calloc(count + 1, sizeof *ends);
    rubato_status status = seen && place && ends ? RUBATO_OK : fail_memory(error);
    for (size_t i = 0; status == RUBATO_OK && i < count; i++) {
        if (!is_visible(text, &tokens[i])) continue;
        place[visible] = i;
        seen[visible++] = tokens[i];
    }
    const size_t passages = status == RUBATO_OK ? cut(text, seen, visible, most, ends) : 0;
    self->items = status == RUBATO_OK ? calloc(passages + 1, sizeof *self->items) : NULL;
    self->ends = status == RUBATO_OK ? calloc(passages + 1, sizeof *self->ends) : NULL;
    if (status == RUBATO_OK && (!self->items || !self->ends)) status = fail_memory(error);
    for (size_t i = 0, first = 0; status == RUBATO_OK && i < passages; first = ends[i++]) {
        self->items[i] =
            (rubato_passage){.start = seen[first].at.start, .end = seen[ends[i] - 1].at.end, .tokens = ends[i] - first};
        trim(text, &self->items[i].start, &self->items[i].end);
        self->ends[i] = ends[i] < visible ? place[ends[i]] : count;
        self->count = i + 1;
    }
    free(seen);
    free(place);
    free(ends);
    return status;
}

void passage_list_free(passage_list *self) {
    free(self->items);
    free(self->ends);
    *self = (passage_list){0};
}
