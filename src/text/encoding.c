/* From tokens to an encoding: truncation, windows, template. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/input.h"
#include "base/text_buffer.h"
#include "base/utf8.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

enum {
    MAX_TEXT_BYTES = 1 << 30,
    KEPT_CHARACTERS = 1 << 20 /* the memory for a longer text is given back after it */
};

/* Ranges of one sequence's tokens. The first range is the encoding, and the others are its overflow. */
typedef struct parts {
    size_t (*ranges)[2];
    size_t count;
} parts;

size_t tokenizer_specials(const tokenizer *self, bool pair) {
    return pair ? self->pair.specials : self->single.specials;
}

/* The number of tokens of each sequence that stay; see rubato_truncation. */
static rubato_status lengths_within(const size_t have[2], bool pair, size_t room, rubato_truncation how, size_t keep[2],
                                    rubato_error *error) {
    keep[0] = have[0];
    keep[1] = have[1];
    if (have[0] + have[1] <= room) return RUBATO_OK;
    if (room == 0) {
        keep[0] = keep[1] = 0;
        return RUBATO_OK;
    }
    size_t excess = have[0] + have[1] - room;
    if (how == RUBATO_LONGEST_FIRST) {
        if (!pair) {
            keep[0] = room;
            return RUBATO_OK;
        }
        bool swap = have[0] > have[1];
        size_t shorter = have[swap], longer = have[!swap];
        longer = shorter > room ? shorter : size_max(shorter, room - shorter);
        if (shorter + longer > room) {
            shorter = room / 2;
            longer = shorter + room % 2;
        }
        keep[swap] = shorter;
        keep[!swap] = longer;
        return RUBATO_OK;
    }
    size_t target = how == RUBATO_ONLY_SECOND;
    if (target == 1 && !pair)
        return fail(error, RUBATO_BAD_ARGUMENT, "truncation of the second text was asked for, but there is none");
    if (have[target] <= excess)
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "the %s text alone has %zu tokens, which leaves no room for the %s; shorten it or allow more "
                    "than %zu",
                    target ? "first" : "second", have[1 - target], target ? "second" : "first", room);
    keep[target] = have[target] - excess;
    return RUBATO_OK;
}

/* The windows of one sequence, counted from the left or the right end: `keep` tokens each, of which two neighbours
 * share `stride`. */
static rubato_status make_parts(parts *out, size_t have, size_t keep, const rubato_text_options *options, bool cut_left,
                                rubato_error *error) {
    bool cut = keep < have;
    size_t most = 1, stride = options->stride;
    if (cut && options->windows && keep > 0) {
        if (stride >= keep && options->stride_fits) stride = keep / 2;
        if (stride >= keep)
            return fail(error, RUBATO_BAD_ARGUMENT, "a stride of %zu tokens does not fit in windows of %zu", stride,
                        keep);
        most = have / (keep - stride) + 2;
    }
    out->ranges = calloc(most + 1, sizeof *out->ranges);
    if (!out->ranges) return fail_memory(error);
    out->count = 1;
    size_t step = keep > stride ? keep - stride : 1;
    if (!cut_left) {
        out->ranges[0][1] = keep;
        if (!cut || !options->windows) return RUBATO_OK;
        if (keep == 0) {
            out->ranges[1][1] = have;
            out->count = 2;
            return RUBATO_OK;
        }
        for (size_t start = 0, number = 0;; start += step, number++) {
            size_t stop = size_min(start + keep, have);
            out->ranges[number][0] = start;
            out->ranges[number][1] = stop;
            out->count = number + 1;
            if (stop == have) return RUBATO_OK;
        }
    }
    out->ranges[0][0] = have - keep;
    out->ranges[0][1] = have;
    if (!cut || !options->windows) return RUBATO_OK;
    if (keep == 0) {
        out->ranges[1][1] = have;
        out->count = 2;
        return RUBATO_OK;
    }
    for (size_t stop = have, number = 0;; stop -= step, number++) {
        size_t start = stop > keep ? stop - keep : 0;
        out->ranges[number][0] = start;
        out->ranges[number][1] = stop;
        out->count = number + 1;
        if (start == 0) return RUBATO_OK;
    }
}

/* Removes white space at both ends of a byte-level token from its offsets. */
static void trim(const tokenizer *self, const char *text, size_t bytes, bool first, uint32_t offsets[2]) {
    uint32_t leading = 0, trailing = 0, run = 0;
    bool begun = false;
    for (size_t i = 0; i < bytes;) {
        uint32_t code;
        i += utf8_next((const unsigned char *)text + i, &code);
        bool space = code == 0x120 || character_flags(code) & CHARACTER_SPACE;
        run = space ? run + 1 : 0;
        if (!space) begun = true;
        if (!begun) leading++;
    }
    trailing = run;
    if (leading > 0) {
        if ((first || offsets[0] == 0) && self->trim_prefix_space && leading == 1) leading = 0;
        offsets[0] = offsets[0] + leading < offsets[1] ? offsets[0] + leading : offsets[1];
    }
    if (trailing > 0 && offsets[1] >= trailing)
        offsets[1] = offsets[1] - trailing > offsets[0] ? offsets[1] - trailing : offsets[0];
}

/* One block of memory: the encoding, its windows, then the arrays of all tokens. */
typedef struct block {
    rubato_encoding encoding;
    const tokenizer *by;
    rubato_window *windows;
    int32_t *ids, *types;
    uint32_t (*offsets)[2];
    uint32_t *words;
    const char **surfaces;
    uint8_t *sequences;
    char **owned; /* surface strings */
    size_t owned_count;
} block;

static block *block_create(size_t windows, size_t tokens, bool surfaces) {
    size_t per_token = sizeof(int32_t) * 2 + sizeof(uint32_t) * 3 + 1 + (surfaces ? sizeof(char *) : 0);
    size_t bytes = sizeof(block) + windows * sizeof(rubato_window) + tokens * per_token;
    char *at = calloc(1, bytes);
    if (!at) return NULL;
    block *made = (block *)(void *)at;
    at += sizeof(block);
    made->windows = (rubato_window *)(void *)at;
    at += windows * sizeof(rubato_window);
    if (surfaces) {
        made->surfaces = (const char **)(void *)at;
        at += tokens * sizeof(char *);
    }
    made->ids = (int32_t *)(void *)at;
    at += tokens * sizeof(int32_t);
    made->types = (int32_t *)(void *)at;
    at += tokens * sizeof(int32_t);
    made->offsets = (uint32_t(*)[2])(void *)at;
    at += tokens * 2 * sizeof(uint32_t);
    made->words = (uint32_t *)(void *)at;
    at += tokens * sizeof(uint32_t);
    made->sequences = (uint8_t *)at;
    made->encoding.windows = made->windows;
    return made;
}

void rubato_encoding_destroy(rubato_encoding *encoding) {
    if (!encoding) return;
    block *made = (block *)(void *)encoding;
    for (size_t i = 0; i < made->owned_count; i++) free(made->owned[i]);
    free(made->owned);
    free(made);
}

const tokenizer *encoding_tokenizer(const rubato_encoding *encoding) {
    return ((const block *)(const void *)encoding)->by;
}

/* Writes one window at token number `at`; returns where the next begins. */
static size_t write_window(const tokenizer *self, const tokenizer_scratch *scratch, const template *shape,
                           bool specials, size_t (*ranges[2])[2], block *made, size_t window, size_t at) {
    size_t begin = at;
    for (size_t i = 0; i < shape->count; i++) {
        const template_item *item = &shape->items[i];
        if (item->sequence < 0) {
            if (!specials) continue;
            made->ids[at] = item->id;
            made->types[at] = self->one_type ? 0 : item->type;
            made->words[at] = UINT32_MAX;
            made->sequences[at++] = 255;
            continue;
        }
        const token *tokens = scratch->tokens[item->sequence].items;
        size_t first = (*ranges[item->sequence])[0], last = (*ranges[item->sequence])[1];
        for (size_t j = first; j < last; j++, at++) {
            const token *from = &tokens[j - scratch->tokens[item->sequence].first];
            made->ids[at] = from->id;
            made->types[at] = self->one_type ? 0 : item->type;
            made->words[at] = from->word;
            made->sequences[at] = (uint8_t)item->sequence;
            made->offsets[at][0] = from->first;
            made->offsets[at][1] = from->last;
            const char *text = self->tokens[from->id];
            size_t bytes = self->token_bytes[from->id];
            if (from->surface) {
                text = made->surfaces[at] = made->owned[from->surface - 1];
                bytes = strlen(text);
            }
            if (self->trim_offsets) trim(self, text, bytes, j == first, made->offsets[at]);
        }
    }
    made->windows[window] = (rubato_window){
        .length = at - begin,
        .ids = made->ids + begin,
        .types = made->types + begin,
        .offsets = (const uint32_t(*)[2])(made->offsets + begin),
        .words = made->words + begin,
        .sequences = made->sequences + begin,
        .surfaces = made->surfaces ? made->surfaces + begin : NULL,
    };
    return at;
}

static size_t range_size(const size_t range[2]) {
    return range[1] - range[0];
}

/* The number of tokens outside of every window. */
static size_t tokens_cut(const parts *sequence, size_t have) {
    size_t first = SIZE_MAX, last = 0;
    for (size_t i = 0; i < sequence->count; i++) {
        if (range_size(sequence->ranges[i]) == 0) continue;
        first = size_min(first, sequence->ranges[i][0]);
        last = size_max(last, sequence->ranges[i][1]);
    }
    return first == SIZE_MAX ? have : have - (last - first);
}

static rubato_status assemble(const tokenizer *self, tokenizer_scratch *scratch, const parts sequences[2], bool pair,
                              bool specials, block **out, rubato_error *error) {
    const template *shape = pair ? &self->pair : &self->single;
    size_t windows = sequences[0].count * (pair ? sequences[1].count : 1), tokens = 0;
    size_t extra = specials ? shape->specials : 0;
    enum { MOST_PAIRS = 1 << 14 };
    if (pair && sequences[0].count > 1 && sequences[1].count > 1 && windows > MOST_PAIRS)
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "both texts of this pair are cut into windows, which come to %zu pairs; let one of them be cut "
                    "(truncation: only_first, only_second)",
                    windows);
    for (size_t a = 0; a < sequences[0].count; a++)
        for (size_t b = 0; b < (pair ? sequences[1].count : 1); b++) {
            size_t more = range_size(sequences[0].ranges[a]) + (pair ? range_size(sequences[1].ranges[b]) : 0) + extra;
            if (!checked_add(tokens, more, &tokens) || tokens > (size_t)1 << 31)
                return fail(error, RUBATO_BAD_ARGUMENT,
                            "the windows of this text come to too many tokens; use a "
                            "smaller stride");
        }
    block *made = block_create(windows, tokens, scratch->surface_count > 0);
    if (!made) return fail_memory(error);
    /* the strings now belong to the encoding */
    made->owned = scratch->surfaces;
    made->owned_count = scratch->surface_count;
    scratch->surfaces = NULL;
    scratch->surface_count = scratch->surface_capacity = 0;
    /* the reference's order: the encoding; each further part of the first text with all of the second; the rest */
    size_t at = 0, window = 0;
    size_t counts[2] = {sequences[0].count, pair ? sequences[1].count : 1};
    size_t none[1][2] = {{0, 0}};
    for (size_t round = 0; round < 3; round++) {
        size_t a0 = round == 1 ? 1 : 0, a1 = round == 1 ? counts[0] : 1;
        size_t b0 = round == 2 ? 1 : 0, b1 = round == 0 ? 1 : counts[1];
        for (size_t a = a0; a < a1; a++)
            for (size_t b = b0; b < b1; b++) {
                size_t(*ranges[2])[2] = {&sequences[0].ranges[a], pair ? &sequences[1].ranges[b] : none};
                at = write_window(self, scratch, shape, specials, ranges, made, window++, at);
            }
    }
    made->by = self;
    made->encoding.count = windows;
    made->encoding.tokens = scratch->tokens[0].total + (pair ? scratch->tokens[1].total : 0) + extra;
    made->encoding.cut = tokens_cut(&sequences[0], scratch->tokens[0].total) +
                         (pair ? tokens_cut(&sequences[1], scratch->tokens[1].total) : 0);
    *out = made;
    return RUBATO_OK;
}

static rubato_status tokenize_one(const tokenizer *self, const char *text, size_t bytes, size_t which,
                                  const token_choice *how, tokenizer_scratch *scratch, rubato_error *error) {
    if (bytes > MAX_TEXT_BYTES)
        return fail(error, RUBATO_BAD_ARGUMENT, "a text of %zu bytes; at most %d are taken", bytes, MAX_TEXT_BYTES);
    size_t bad = utf8_check(text, bytes);
    if (bad < bytes)
        return fail(error, RUBATO_BAD_TEXT, "not valid UTF-8 at byte %zu (0x%02x)", bad, (unsigned char)text[bad]);
    return tokenizer_run(self, text, bytes, how, which, scratch, error);
}

rubato_status tokenizer_encode(const tokenizer *self, const rubato_input *input, const rubato_text_options *options,
                               tokenizer_scratch *scratch, rubato_encoding **encoding, rubato_error *error) {
    static const rubato_text_options defaults;
    *encoding = NULL;
    if (!options) options = &defaults;
    bool pair = input->pair != NULL;
    for (size_t i = 0; i < scratch->surface_count; i++) free(scratch->surfaces[i]);
    scratch->surface_count = 0;
    scratch->tokens[1].count = scratch->tokens[1].total = 0;
    /* windows lose nothing, so they are counted as the caller says */
    bool cut_left = options->cut_left || (self->cut_left && !options->windows);
    size_t specials = options->no_special ? 0 : tokenizer_specials(self, pair), room = SIZE_MAX;
    if (!options->whole) {
        size_t most = options->max_length ? options->max_length : self->max_length;
        if (most < specials)
            return fail(error, RUBATO_BAD_ARGUMENT, "a maximum length of %zu leaves no room for the %zu special tokens",
                        most, specials);
        room = most - specials;
    }
    const token_choice how = {.special_as_text = options->special_as_text || self->special_as_text,
                              .most = options->windows ? SIZE_MAX : room,
                              .last = cut_left};
    TRY(tokenize_one(self, input->text, input_size(input->text, input->text_bytes), 0, &how, scratch, error));
    if (pair) TRY(tokenize_one(self, input->pair, input_size(input->pair, input->pair_bytes), 1, &how, scratch, error));
    size_t have[2] = {scratch->tokens[0].total, scratch->tokens[1].total}, keep[2] = {have[0], have[1]};
    if (room != SIZE_MAX) TRY(lengths_within(have, pair, room, options->truncation, keep, error));
    parts sequences[2] = {{0}, {0}};
    block *made = NULL;
    rubato_status status;
    TRY_DONE(make_parts(&sequences[0], have[0], keep[0], options, cut_left, error));
    if (pair) TRY_DONE(make_parts(&sequences[1], have[1], keep[1], options, cut_left, error));
    TRY_DONE(assemble(self, scratch, sequences, pair, !options->no_special, &made, error));
    *encoding = &made->encoding;
done:
    if (scratch->raw.capacity > KEPT_CHARACTERS) tokenizer_scratch_free(scratch);
    free(sequences[0].ranges);
    free(sequences[1].ranges);
    return status;
}
