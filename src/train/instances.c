#include "train/instances.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/list.h"
#include "base/random.h"

enum { TRIES = 10 }; /* to find another document */
static const double short_share = 0.1;

typedef struct drawing {
    instances *out;
    const corpus *from;
    bool pairs;
    size_t room; /* tokens of all texts of a sequence */
    uint64_t state;
} drawing;

static size_t sentence_tokens(const corpus *from, size_t first, size_t count) {
    return (size_t)(from->sentences[first + count] - from->sentences[first]);
}

/* Uniform from `least` to `most`, both included. */
static size_t draw_between(drawing *d, size_t least, size_t most) {
    return most <= least ? least : least + random_below(&d->state, most - least + 1);
}

static size_t draw_target(drawing *d) {
    return random_real(&d->state) < short_share ? draw_between(d, 2, d->room) : d->room;
}

static bool add(drawing *d, instance made) {
    instances *out = d->out;
    instance *grown = list_grown(out->items, out->count, &out->capacity, sizeof *out->items);
    if (!grown) return false;
    out->items = grown;
    out->items[out->count++] = made;
    return true;
}

/* Sentences from `first` on, before `end`, until they have `target` tokens. */
static size_t collect(const corpus *from, size_t first, size_t end, size_t target) {
    size_t count = 0;
    while (first + count < end && count < UINT16_MAX && (count == 0 || sentence_tokens(from, first, count) < target))
        count++;
    return count;
}

/* A document that is not number `own`, as far as TRIES draws find one. */
static size_t draw_other(drawing *d, size_t own) {
    size_t other = own;
    for (int i = 0; i < TRIES && other == own; i++) other = random_below(&d->state, d->from->document_count);
    return other;
}

static bool draw_pairs(drawing *d, size_t document) {
    const corpus *from = d->from;
    size_t at = (size_t)from->documents[document], end = (size_t)from->documents[document + 1];
    while (at < end) {
        size_t target = draw_target(d), count = collect(from, at, end, target);
        size_t mine = count > 1 ? draw_between(d, 1, count - 1) : 1;
        instance made = {.first = (uint32_t)at, .first_count = (uint16_t)mine};
        made.random = count == 1 || random_real(&d->state) < 0.5;
        if (made.random) {
            size_t other = draw_other(d, document), begin = (size_t)from->documents[other];
            size_t stop = (size_t)from->documents[other + 1], own = sentence_tokens(from, at, mine);
            size_t start = begin + random_below(&d->state, stop - begin);
            made.second = (uint32_t)start;
            made.second_count = (uint16_t)collect(from, start, stop, target > own ? target - own : 1);
            at += mine; /* the sentences that were not used begin the next instance */
        } else {
            made.second = (uint32_t)(at + mine);
            made.second_count = (uint16_t)(count - mine);
            at += count;
        }
        if (!add(d, made)) return false;
    }
    return true;
}

static bool draw_singles(drawing *d, size_t document) {
    const corpus *from = d->from;
    size_t at = (size_t)from->documents[document], end = (size_t)from->documents[document + 1];
    while (at < end) {
        size_t target = draw_target(d), count = collect(from, at, end, target);
        if (count > 1 && sentence_tokens(from, at, count) > d->room) count--;
        if (!add(d, (instance){.first = (uint32_t)at, .first_count = (uint16_t)count})) return false;
        at += count;
    }
    return true;
}

static const template *template_of(const tokenizer *text, bool pairs) {
    return pairs ? &text->pair : &text->single;
}

static size_t room_of(const tokenizer *text, const instance_options *how, bool pairs) {
    size_t specials = template_of(text, pairs)->specials;
    return how->longest > specials + 2 ? how->longest - specials : 2;
}

rubato_status instances_draw(instances *self, const corpus *from, const tokenizer *text, const instance_options *how,
                             uint64_t seed, rubato_error *error) {
    drawing d = {.out = self, .from = from, .pairs = how->pairs, .room = room_of(text, how, how->pairs), .state = seed};
    self->count = 0;
    if (from->sentence_count > UINT32_MAX)
        return fail(error, RUBATO_UNSUPPORTED, "the text has more than %u sentences", UINT32_MAX);
    for (size_t i = 0; i < from->document_count; i++)
        if (!(how->pairs ? draw_pairs(&d, i) : draw_singles(&d, i))) return fail_memory(error);
    return RUBATO_OK;
}

void instances_free(instances *self) {
    free(self->items);
    *self = (instances){0};
}

/* A text of an instance: tokens [first, first + count) of the corpus. */
typedef struct span {
    size_t first, count;
} span;

static span span_of(const corpus *from, size_t first, size_t count) {
    return (span){(size_t)from->sentences[first], sentence_tokens(from, first, count)};
}

const rubato_window *instance_window(const instance *self, const corpus *from, const tokenizer *text,
                                     const instance_options *how, uint64_t key, arena *memory) {
    const bool pair = self->second_count > 0;
    const template *form = template_of(text, pair);
    size_t room = room_of(text, how, pair), at = 0;
    span spans[2] = {span_of(from, self->first, self->first_count), {0, 0}};
    if (pair) spans[1] = span_of(from, self->second, self->second_count);
    while (spans[0].count + spans[1].count > room) {
        span *longer = spans[0].count > spans[1].count ? &spans[0] : &spans[1];
        if (pair && random_real(&key) < 0.5) longer->first++;
        longer->count--;
    }
    size_t length = 0;
    for (size_t i = 0; i < form->count; i++)
        length += form->items[i].sequence < 0 ? 1 : spans[form->items[i].sequence].count;
    rubato_window *out = arena_take_array(memory, 1, sizeof *out);
    int32_t *ids = arena_take_array(memory, length, sizeof *ids),
            *types = arena_take_array(memory, length, sizeof *ids);
    uint8_t *sequences = arena_take_array(memory, length, sizeof *sequences);
    if (!out || !ids || !types || !sequences) return NULL;
    for (size_t i = 0; i < form->count; i++) {
        const template_item *item = &form->items[i];
        const bool special = item->sequence < 0;
        const span what = special ? (span){0, 1} : spans[item->sequence];
        for (size_t j = 0; j < what.count; j++, at++) {
            ids[at] = special ? item->id : from->ids[what.first + j];
            types[at] = text->one_type ? 0 : item->type;
            sequences[at] = special ? 255 : (uint8_t)item->sequence;
        }
    }
    *out = (rubato_window){.length = at, .ids = ids, .types = types, .sequences = sequences};
    return out;
}
