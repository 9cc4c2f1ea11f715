/* rubato_augment: more texts from a few, by a masked language model (Jiao et al. 2020, algorithm 1). */
#define _DEFAULT_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/gzip.h"
#include "base/list.h"
#include "base/options.h"
#include "base/random.h"
#include "base/string_table.h"
#include "base/text_buffer.h"
#include "base/utf8.h"
#include "store/dataset.h"
#include "task/context.h"

enum { MOST_COPIES = 10000 };

static const char *const stop_words[] = {
    "a",    "about",  "after", "all",   "also", "am",    "an",    "and",   "any",   "are",   "as",   "at",    "be",
    "been", "being",  "both",  "but",   "by",   "can",   "could", "did",   "do",    "does",  "each", "few",   "for",
    "from", "had",    "has",   "have",  "he",   "her",   "here",  "hers",  "him",   "his",   "how",  "i",     "if",
    "in",   "into",   "is",    "it",    "its",  "just",  "me",    "more",  "most",  "my",    "no",   "nor",   "not",
    "now",  "of",     "off",   "on",    "once", "only",  "or",    "other", "our",   "out",   "over", "own",   "same",
    "she",  "should", "so",    "some",  "such", "than",  "that",  "the",   "their", "them",  "then", "there", "these",
    "they", "this",   "those", "to",    "too",  "under", "until", "up",    "very",  "was",   "we",   "were",  "what",
    "when", "where",  "which", "while", "who",  "whom",  "why",   "will",  "with",  "would", "you",  "your"};

/* A word of a text: a run of letters. */
typedef struct word {
    size_t first, last; /* bytes */
    int32_t *choices;   /* [count] tokens that may stand there; of the augmenter's memory or a neighbour's */
    size_t count;
} word;

typedef struct augmenting {
    const rubato_augment_options *options;
    const rubato_model *model;
    rubato_context *context;
    dataset data;
    uint64_t state;
    size_t copies, candidates;
    double probability;
    bool *whole;       /* [vocabulary]: tokens that are words of letters */
    float *lengths;    /* [vocabulary]: of the word embeddings */
    string_table near; /* words of several tokens whose neighbours are known */
    int32_t **neighbours;
    size_t *neighbour_counts, capacity, known;
    FILE *out;
    rubato_augment_result result;
    rubato_error *error;
} augmenting;

static bool is_letter(uint32_t c) {
    /* general punctuation, and CJK's and full-width marks, are no letters; the rest beyond ASCII is taken for one */
    const bool mark =
        c < 0xc0 || (c >= 0x2000 && c < 0x2c00) || (c >= 0x3000 && c < 0x3040) || (c >= 0xff00 && c < 0xff21);
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= 0xc0 && !mark);
}

static bool is_word(const char *text, size_t bytes) {
    for (size_t at = 0; at < bytes;) {
        uint32_t c;
        at += utf8_next((const unsigned char *)text + at, &c);
        if (!is_letter(c)) return false;
    }
    return bytes > 0;
}

static bool is_stop_word(const char *text, size_t bytes) {
    char lower[16];
    if (bytes >= sizeof lower) return false;
    for (size_t i = 0; i < bytes; i++) lower[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
    lower[bytes] = 0;
    for (size_t i = 0; i < sizeof stop_words / sizeof *stop_words; i++)
        if (strcmp(stop_words[i], lower) == 0) return true;
    return false;
}

/* ---- Candidates ---- */

static rubato_status list_tokens(augmenting *a) {
    const tokenizer *text = a->model->text;
    const table *words = &a->model->body.tables.word;
    const size_t count = size_min(text->vocabulary, words->rows);
    float *row = malloc(words->width * sizeof *row);
    a->whole = calloc(words->rows, sizeof *a->whole);
    a->lengths = calloc(words->rows, sizeof *a->lengths);
    if (!row || !a->whole || !a->lengths) {
        free(row);
        return fail_memory(a->error);
    }
    for (size_t i = 0; i < count; i++) {
        const char *name = text->tokens[i];
        a->whole[i] = name && !tokenizer_continues(text, (int32_t)i) && is_word(name, text->token_bytes[i]);
        table_copy(words, i, row);
        for (size_t j = 0; j < words->width; j++) a->lengths[i] += row[j] * row[j];
        a->lengths[i] = sqrtf(a->lengths[i]);
    }
    free(row);
    return RUBATO_OK;
}

/* The nearest tokens to a word of several, by the cosine of word embeddings: in place of GloVe's. */
static rubato_status find_neighbours(augmenting *a, const rubato_window *parts, int32_t **out, size_t *found) {
    const table *words = &a->model->body.tables.word;
    const size_t width = words->width, most = a->candidates;
    float *mean = calloc(2 * width, sizeof *mean), *row = mean ? mean + width : NULL;
    float *best = malloc(most * sizeof *best);
    *out = malloc(most * sizeof **out);
    *found = 0;
    if (!mean || !best || !*out) {
        free(mean);
        free(best);
        return fail_memory(a->error);
    }
    for (size_t i = 0; i < parts->length; i++) table_add(words, (size_t)parts->ids[i], mean);
    for (size_t i = 0; i < words->rows; i++) {
        if (!a->whole[i] || a->lengths[i] == 0) continue;
        table_copy(words, i, row);
        const float score = a->context->kernels->dot_f32(mean, row, width) / a->lengths[i];
        size_t at = *found < most ? (*found)++ : most;
        if (at == most && score <= best[most - 1]) continue;
        if (at == most) at--;
        for (; at > 0 && best[at - 1] < score; at--) {
            best[at] = best[at - 1];
            (*out)[at] = (*out)[at - 1];
        }
        best[at] = score;
        (*out)[at] = (int32_t)i;
    }
    free(mean);
    free(best);
    return RUBATO_OK;
}

static rubato_status choose_near(augmenting *a, const char *text, const rubato_window *parts, word *of) {
    const size_t bytes = of->last - of->first;
    const size_t at = string_table_put(&a->near, text + of->first, bytes);
    if (at == STRING_NONE) return fail_memory(a->error);
    if (at == a->known) {
        size_t capacity = a->capacity;
        int32_t **grown = list_grown(a->neighbours, at, &a->capacity, sizeof *a->neighbours);
        if (grown) a->neighbours = grown;
        size_t *counts = grown ? list_grown(a->neighbour_counts, at, &capacity, sizeof *counts) : NULL;
        if (!counts) return fail_memory(a->error);
        a->neighbour_counts = counts;
        a->neighbours[at] = NULL;
        a->neighbour_counts[at] = 0;
        a->known++;
        TRY(find_neighbours(a, parts, &a->neighbours[at], &a->neighbour_counts[at]));
    }
    of->choices = a->neighbours[at];
    of->count = a->neighbour_counts[at];
    return RUBATO_OK;
}

/* The tokens that the model puts in the word's place, where it reads the whole text beside. The choices are the
 * caller's to free. */
static rubato_status choose_masked(augmenting *a, const char *text, word *of) {
    const char *mask = rubato_token(a->model, a->model->text->mask, NULL);
    const rubato_text_options how = {.size = sizeof how, .max_length = a->options->max_length};
    const rubato_options running = {.size = sizeof running, .text = &how};
    text_buffer masked = {0};
    rubato_candidate *best = NULL;
    size_t masks;
    text_add_format(&masked, "%.*s%s%s", (int)of->first, text, mask, text + of->last);
    of->choices = malloc(a->candidates * sizeof *of->choices);
    rubato_status status = masked.failed || !of->choices ? fail_memory(a->error) : RUBATO_OK;
    const rubato_input input = {.text = masked.data, .pair = text};
    if (status == RUBATO_OK)
        status = rubato_fill(a->context, &best, &masks, &input, a->candidates, &running, NULL, a->error);
    text_free(&masked);
    /* the mask was cut away: the text is longer than the model takes */
    if (status == RUBATO_BAD_ARGUMENT) return RUBATO_OK;
    TRY(status);
    for (size_t i = 0; i < a->candidates && i < a->model->body.config.vocabulary; i++)
        if (a->whole[best[i].id]) of->choices[of->count++] = best[i].id;
    rubato_free(best);
    return RUBATO_OK;
}

static rubato_status choose(augmenting *a, const char *text, word *of, bool *own) {
    const rubato_text_options bare = {.size = sizeof bare, .no_special = 1, .whole = 1};
    const rubato_input input = {.text = text + of->first, .text_bytes = of->last - of->first};
    rubato_encoding *made;
    *own = false;
    TRY(rubato_encode(a->model, &input, &bare, &made, a->error));
    const size_t count = made->windows[0].length;
    rubato_status status = RUBATO_OK;
    if (count == 1) {
        *own = true;
        status = choose_masked(a, text, of);
    } else if (count > 1) {
        status = choose_near(a, text, &made->windows[0], of);
    }
    rubato_encoding_destroy(made);
    return status;
}

/* ---- Texts ---- */

/* The words of a text with their candidates. */
typedef struct words_of {
    word *items;
    bool *own; /* the choices are freed here */
    size_t count;
} words_of;

static void words_free(words_of *self) {
    for (size_t i = 0; i < self->count; i++)
        if (self->own[i]) free(self->items[i].choices);
    free(self->items);
    free(self->own);
}

static rubato_status find_words(augmenting *a, const char *text, words_of *out) {
    const size_t bytes = strlen(text);
    *out =
        (words_of){.items = calloc(bytes / 2 + 1, sizeof *out->items), .own = calloc(bytes / 2 + 1, sizeof *out->own)};
    if (!out->items || !out->own) return fail_memory(a->error);
    for (size_t at = 0; at < bytes;) {
        size_t last = at, step;
        uint32_t c;
        while (last < bytes && (step = utf8_next((const unsigned char *)text + last, &c), is_letter(c))) last += step;
        if (last == at) {
            at += step;
            continue;
        }
        word *of = &out->items[out->count];
        *of = (word){.first = at, .last = last};
        if (!is_stop_word(text + at, last - at)) {
            out->count++;
            TRY(choose(a, text, of, &out->own[out->count - 1]));
        }
        at = last;
    }
    return RUBATO_OK;
}

/* A copy in which words are replaced; *same: none was. */
static void write_copy(augmenting *a, const char *text, const words_of *words, text_buffer *out, bool *same) {
    size_t at = 0;
    for (size_t i = 0; i < words->count; i++) {
        const word *of = &words->items[i];
        text_add_format(out, "%.*s", (int)(of->first - at), text + at);
        at = of->last;
        const bool replaces = of->count > 0 && random_real(&a->state) < a->probability;
        if (replaces) {
            const int32_t id = of->choices[random_below(&a->state, of->count)];
            tokenizer_add_plain(a->model->text, id, out);
            *same = false;
        } else {
            text_add_format(out, "%.*s", (int)(of->last - of->first), text + of->first);
        }
    }
    text_add_string(out, text + at);
}

/* Tables have no quotes: what would end a field becomes a blank. */
static void write_field(FILE *out, const char *text) {
    for (; *text; text++) fputc(*text == '\t' || *text == '\n' || *text == '\r' ? ' ' : *text, out);
}

static void write_row(augmenting *a, const char *text, const char *pair, const char *label) {
    write_field(a->out, text);
    if (pair) fputc('\t', a->out);
    if (pair) write_field(a->out, pair);
    if (label) fputc('\t', a->out);
    if (label) write_field(a->out, label);
    fputc('\n', a->out);
}

static rubato_status write_copies(augmenting *a, const example *item, const words_of words[2], string_table *seen) {
    for (size_t i = 0; i < a->copies; i++) {
        text_buffer texts[2] = {0};
        bool same = true;
        write_copy(a, item->text, &words[0], &texts[0], &same);
        if (item->pair) write_copy(a, item->pair, &words[1], &texts[1], &same);
        const char *first = texts[0].data ? texts[0].data : "", *second = texts[1].data ? texts[1].data : "";
        const size_t before = seen->count;
        bool failed = texts[0].failed || texts[1].failed;
        uint64_t both[2] = {0, 0};
        both[0] = random_hash(strlen(first));
        for (const char *at = first; *at; at++) both[0] = random_hash(both[0] ^ (unsigned char)*at);
        for (const char *at = second; *at; at++) both[1] = random_hash(both[1] + (unsigned char)*at);
        if (!failed && !same) failed = string_table_put(seen, (const char *)both, sizeof both) == STRING_NONE;
        if (!failed && !same && seen->count > before) {
            write_row(a, first, item->pair ? second : NULL, item->label);
            a->result.made++;
        }
        text_free(&texts[0]);
        text_free(&texts[1]);
        if (failed) return fail_memory(a->error);
    }
    return RUBATO_OK;
}

static rubato_status augment_example(augmenting *a, const example *item) {
    words_of words[2] = {0};
    string_table seen = {0};
    if (!item->text) return fail_example(a->error, RUBATO_BAD_DATA, a->options->data, item->line, "no text");
    rubato_status status = find_words(a, item->text, &words[0]);
    if (status == RUBATO_OK && item->pair) status = find_words(a, item->pair, &words[1]);
    if (status == RUBATO_OK) {
        write_row(a, item->text, item->pair, item->label);
        status = write_copies(a, item, words, &seen);
    }
    words_free(&words[0]);
    words_free(&words[1]);
    string_table_free(&seen);
    return status;
}

static rubato_status write_header(augmenting *a) {
    bool pairs = false, labels = false;
    for (size_t i = 0; i < a->data.count; i++) {
        pairs = pairs || a->data.items[i].pair;
        labels = labels || a->data.items[i].label;
        if (a->data.items[i].labels)
            return fail(a->error, RUBATO_UNSUPPORTED, "%s: texts with several labels", a->options->data);
    }
    for (size_t i = 0; i < a->data.count; i++)
        if (pairs != (a->data.items[i].pair != NULL) || labels != (a->data.items[i].label != NULL))
            return fail_example(a->error, RUBATO_BAD_DATA, a->options->data, a->data.items[i].line,
                                "some rows have a second text or a label, and others have none");
    fprintf(a->out, "text%s%s\n", pairs ? "\tpair" : "", labels ? "\tlabel" : "");
    return RUBATO_OK;
}

static rubato_status write_all(augmenting *a) {
    const double begun = clock_ms();
    TRY(write_header(a));
    for (size_t i = 0; i < a->data.count; i++) {
        TRY(augment_example(a, &a->data.items[i]));
        const double seconds = (clock_ms() - begun) / 1e3;
        if (a->options->progress && a->options->progress(a->options->progress_user, i + 1, a->data.count, seconds))
            return fail(a->error, RUBATO_CANCELLED, "stopped after %zu of %zu texts; nothing was written", i + 1,
                        a->data.count);
    }
    a->result.texts = a->data.count;
    return RUBATO_OK;
}

static rubato_status write_file(augmenting *a) {
    new_file file;
    if (file_exists(a->options->out) && !a->options->overwrite)
        return fail(a->error, RUBATO_BAD_ARGUMENT, "%s is there already; --overwrite replaces it", a->options->out);
    TRY(new_file_open(&file, a->options->out, a->error));
    a->out = file.stream;
    rubato_status status = write_all(a);
    if (status == RUBATO_OK) return new_file_commit(&file, a->error);
    new_file_abandon(&file);
    return status;
}

static bool is_same_file(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static rubato_status augment(augmenting *a) {
    const rubato_augment_options *o = a->options;
    rubato_model *model = NULL;
    if (!o->model || !o->data || !o->out)
        return fail(a->error, RUBATO_BAD_ARGUMENT, "a model, data and an output file are needed");
    if (a->copies > MOST_COPIES)
        return fail(a->error, RUBATO_BAD_ARGUMENT, "%zu copies; at most %d", a->copies, MOST_COPIES);
    if (!gzip_name_ends(o->out, ".tsv") || gzip_named(o->out))
        return fail(a->error, RUBATO_BAD_ARGUMENT, "%s: the file is a table; give it a name that ends in .tsv", o->out);
    if (is_same_file(o->data, o->out))
        return fail(a->error, RUBATO_BAD_ARGUMENT, "%s holds the texts; give another file", o->out);
    if (a->probability > 1) return fail(a->error, RUBATO_BAD_ARGUMENT, "a probability of %g", a->probability);
    TRY(dataset_read(&a->data, o->data, DATASET_TEXTS, o->columns, a->error));
    TRY(dataset_sample(&a->data, o->limit, o->seed, a->error));
    if (a->data.count == 0) return fail(a->error, RUBATO_BAD_DATA, "%s: no examples", o->data);
    TRY(rubato_model_load(&model, o->model, a->error));
    a->model = model;
    a->candidates = size_min(a->candidates, model->body.config.vocabulary);
    const rubato_context_options how = {.size = sizeof how, .threads = o->threads, .isa = o->isa};
    rubato_status status =
        model->info.task == RUBATO_TASK_MLM
            ? rubato_context_create(&a->context, model, &how, a->error)
            : fail(a->error, RUBATO_WRONG_TASK,
                   "%s: no masked language model, such as BertForMaskedLM or what train --task mlm makes", o->model);
    if (status == RUBATO_OK) status = list_tokens(a);
    if (status == RUBATO_OK) status = write_file(a);
    rubato_context_destroy(a->context);
    rubato_model_destroy(model);
    return status;
}

rubato_status rubato_augment(const rubato_augment_options *options, rubato_augment_result **result,
                             rubato_error *error) {
    rubato_augment_options own;
    *result = NULL;
    TRY(OPTIONS_COPY(&own, rubato_augment_options, options, error));
    augmenting a = {.options = &own,
                    .state = random_hash(own.seed),
                    .copies = own.copies ? own.copies : 20,
                    .candidates = own.candidates ? own.candidates : 15,
                    .probability = own.probability > 0 ? own.probability : 0.4,
                    .error = error};
    rubato_augment_result *made = malloc(sizeof *made);
    rubato_status status = made ? augment(&a) : fail_memory(error);
    if (status == RUBATO_OK)
        *made = a.result;
    else
        free(made);
    if (status == RUBATO_OK) *result = made;
    for (size_t i = 0; i < a.known; i++) free(a.neighbours[i]);
    free(a.neighbours);
    free(a.neighbour_counts);
    string_table_free(&a.near);
    free(a.whole);
    free(a.lengths);
    dataset_free(&a.data);
    return status;
}
