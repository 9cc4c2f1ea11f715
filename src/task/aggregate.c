/* Entities of labelled tokens. */
#include "task/aggregate.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/order.h"
#include "base/input.h"
#include "base/text_list.h"
#include "base/utf8.h"

rubato_status aggregation_find(aggregation *out, const char *name, rubato_error *error) {
    static const char *const names[AGGREGATIONS] = {"entities", "none", "simple", "first", "average", "max"};
    *out = AGGREGATE_ENTITIES;
    if (!name) return RUBATO_OK;
    for (size_t i = 0; i < AGGREGATIONS; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (aggregation)i;
            return RUBATO_OK;
        }
    return fail(error, RUBATO_BAD_ARGUMENT,
                "aggregation \"%.40s\" is none of entities, none, simple, first, average and max", name);
}

pointed_text pointed_text_create(const rubato_input *input) {
    size_t size = input_size(input->text, input->text_bytes);
    pointed_text out = {.text = input->text, .bytes = malloc((size + 1) * sizeof *out.bytes)};
    for (size_t at = 0; out.bytes && at < size;) {
        uint32_t code;
        out.bytes[out.points++] = at;
        at += utf8_next((const unsigned char *)input->text + at, &code);
    }
    if (out.bytes) out.bytes[out.points] = size;
    return out;
}

void entity_list_free(entity_list *list) {
    for (size_t i = 0; i < list->count; i++) free(list->items[i].word);
    free(list->items);
    *list = (entity_list){0};
}

/* ---- Words ---- */

/* One token, or the tokens of a word. */
typedef struct word {
    size_t start, end, index, label;
    float score;
    const char *name; /* of the vocabulary, of the text, or own */
    size_t bytes;
    char *own;
} word;

/* The name of a token, and whether it goes on with the word before it. */
static bool name_token(const rubato_model *model, const pointed_text *text, const placed_token *one, const char **name,
                       size_t *bytes) {
    size_t start = size_min(one->start, text->points), end = size_min(one->end, text->points);
    if (one->id == model->text->model.unknown) { /* shown as it stands in the text */
        *name = text->text + text->bytes[start];
        *bytes = text->bytes[size_max(start, end)] - text->bytes[start];
        return false;
    }
    *name = rubato_token(model, one->id, bytes);
    if (!*name) *name = "";
    /* a word piece is longer than its text where it has the mark of a continuation */
    if (model->text->model.kind == MODEL_WORDPIECE) return utf8_count(*name, *bytes) != size_max(start, end) - start;
    return start > 0 && text->text[text->bytes[start - 1]] != ' ' &&
           (start == text->points || text->text[text->bytes[start]] != ' ');
}

/* The label of a word, and its probability. */
static void label_word(aggregation how, const placed_token *placed, size_t count, size_t labels, word *out) {
    const float *scores = placed[0].scores;
    if (how == AGGREGATE_AVERAGE) {
        out->score = -1;
        for (size_t j = 0; j < labels; j++) {
            double sum = 0;
            for (size_t i = 0; i < count; i++) sum += (double)placed[i].scores[j];
            if ((float)(sum / (double)count) <= out->score) continue;
            out->score = (float)(sum / (double)count);
            out->label = j;
        }
        return;
    }
    for (size_t i = 1; how == AGGREGATE_MAX && i < count; i++)
        if (placed[i].scores[index_of_largest(placed[i].scores, labels)] > scores[index_of_largest(scores, labels)])
            scores = placed[i].scores;
    out->label = index_of_largest(scores, labels);
    out->score = scores[out->label];
}

/* Makes words of tokens; their number in *made. */
static rubato_status make_words(const rubato_model *model, aggregation how, const pointed_text *text,
                                const placed_token *placed, size_t count, word *out, size_t *made,
                                rubato_error *error) {
    bool whole = how == AGGREGATE_FIRST || how == AGGREGATE_AVERAGE || how == AGGREGATE_MAX;
    for (size_t from = 0, to; from < count; from = to) {
        word *one = &out[(*made)++];
        *one = (word){.start = placed[from].start, .index = placed[from].index};
        text_buffer joined = {0};
        for (to = from; to < count; to++) {
            const char *name;
            size_t bytes;
            bool later = name_token(model, text, &placed[to], &name, &bytes);
            if (to > from && !(whole && later)) break;
            one->name = name;
            one->bytes = bytes;
            if (whole) tokenizer_join(model->text, name, bytes, to == from, &joined);
        }
        one->end = placed[to - 1].end;
        label_word(how, placed + from, to - from, model->info.label_count, one);
        if (!whole) continue;
        tokenizer_join_end(model->text, &joined);
        if (joined.failed) {
            text_free(&joined);
            return fail_memory(error);
        }
        one->name = one->own = joined.data;
        one->bytes = joined.length;
    }
    return RUBATO_OK;
}

/* ---- Groups ---- */

/* "B-PER" begins an entity of the type PER, "I-PER" and "PER" go on with one. */
static bool begins(const char *label, const char **type) {
    bool schemed = (label[0] == 'B' || label[0] == 'I') && label[1] == '-';
    *type = schemed ? label + 2 : label;
    return schemed && label[0] == 'B';
}

/* An entity of neighbouring words. */
static rubato_status add_entity(const rubato_model *model, bool group, const char *ignored, const word *words,
                                size_t count, entity_list *out, rubato_error *error) {
    const char *label = model->labels[words[0].label], *dash = group ? strchr(label, '-') : NULL;
    double sum = 0;
    text_buffer joined = {0};
    if (dash) label = dash + 1;
    if (text_list_has(ignored, label)) return RUBATO_OK;
    for (size_t i = 0; i < count; i++) {
        sum += (double)words[i].score;
        if (group) tokenizer_join(model->text, words[i].name, words[i].bytes, i == 0, &joined);
    }
    if (group)
        tokenizer_join_end(model->text, &joined);
    else
        text_add(&joined, words[0].name, words[0].bytes);
    if (out->count == out->capacity && !joined.failed) {
        size_t capacity = 2 * out->capacity + 8;
        struct found_entity *more = realloc(out->items, capacity * sizeof *more);
        if (more) out->items = more;
        if (more) out->capacity = capacity;
    }
    if (joined.failed || out->count == out->capacity) {
        text_free(&joined);
        return fail_memory(error);
    }
    out->items[out->count++] = (struct found_entity){
        {label, words[0].start, words[count - 1].end, (float)(sum / (double)count)}, joined.data, words[0].index};
    return RUBATO_OK;
}

static rubato_status group_words(const rubato_model *model, bool group, const char *ignored, const word *words,
                                 size_t count, entity_list *out, rubato_error *error) {
    for (size_t from = 0, to; from < count; from = to) {
        const char *type, *next;
        begins(model->labels[words[from].label], &type);
        for (to = from + 1; group && to < count; to++)
            if (begins(model->labels[words[to].label], &next) || strcmp(type, next) != 0) break;
        TRY(add_entity(model, group, ignored, words + from, to - from, out, error));
    }
    return RUBATO_OK;
}

rubato_status aggregate(const rubato_model *model, aggregation how, const char *ignored, const pointed_text *text,
                        const placed_token *placed, size_t count, entity_list *out, rubato_error *error) {
    word *words = calloc(count + 1, sizeof *words);
    size_t made = 0;
    if (!words) return fail_memory(error);
    rubato_status status = make_words(model, how, text, placed, count, words, &made, error);
    if (status == RUBATO_OK) status = group_words(model, how != AGGREGATE_NONE, ignored, words, made, out, error);
    for (size_t i = 0; i < made; i++) free(words[i].own);
    free(words);
    return status;
}

/* ---- Windows ---- */

static int by_start(const void *a, const void *b) {
    const struct found_entity *x = a, *y = b;
    if (x->entity.start != y->entity.start) return x->entity.start < y->entity.start ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static bool better(const rubato_entity *a, const rubato_entity *b) {
    size_t x = a->end - a->start, y = b->end - b->start;
    return x != y ? x > y : a->score > b->score;
}

void entity_list_resolve(entity_list *list) {
    for (size_t i = 0; i < list->count; i++) list->items[i].index = i;
    if (list->count) qsort(list->items, list->count, sizeof *list->items, by_start);
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct found_entity *last = kept ? &list->items[kept - 1] : NULL, *one = &list->items[i];
        if (!last || one->entity.start < last->entity.start || one->entity.start >= last->entity.end) {
            list->items[kept++] = *one;
            continue;
        }
        struct found_entity lost = better(&one->entity, &last->entity) ? *last : *one;
        if (lost.word == last->word) *last = *one;
        free(lost.word);
    }
    list->count = kept;
}
