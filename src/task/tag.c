/* Tagging: a label for every token, and entities from them. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/utf8.h"
#include "task/context.h"
#include "task/costs.h"
#include "task/encode.h"
#include "task/token_scores.h"
#include "text/unicode.h"

/* All tags of one call: one block of memory behind the array that the caller gets. */
typedef struct tag_block {
    size_t count;
    rubato_tags tags[];
} tag_block;

void rubato_tags_destroy(rubato_tags *tags) {
    if (!tags) return;
    tag_block *block = (tag_block *)(void *)((char *)tags - offsetof(tag_block, tags));
    for (size_t i = 0; i < block->count; i++) {
        free((void *)(uintptr_t)block->tags[i].entities);
        free((void *)(uintptr_t)block->tags[i].tokens);
    }
    free(block);
}

/* A token of the text, and the window from which its label is read. */
typedef struct seen {
    size_t start, end, word;
    size_t depth; /* tokens to the nearer end of its window: more means more context */
    const float *scores;
} seen;

static int by_place(const void *a, const void *b) {
    const seen *x = a, *y = b;
    if (x->start != y->start) return x->start < y->start ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return x->depth > y->depth ? -1 : x->depth < y->depth;
}

/* Lists every token of the text once, from the window in which it is farthest from both ends. */
static size_t collect(const rubato_encoding *encoding, float *const *windows, size_t columns, seen *out) {
    size_t count = 0;
    for (size_t w = 0; w < encoding->count; w++) {
        const rubato_window *window = &encoding->windows[w];
        for (size_t i = 0; i < window->length; i++) {
            if (window->sequences[i] != 0) continue;
            out[count++] = (seen){window->offsets[i][0], window->offsets[i][1], window->words[i],
                                  size_min(i, window->length - 1 - i), windows[w] + i * columns};
        }
    }
    if (encoding->count < 2) return count;
    qsort(out, count, sizeof *out, by_place);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || out[i].start != out[kept - 1].start || out[i].end != out[kept - 1].end) out[kept++] = out[i];
    return kept;
}

static size_t best_label(const kernel_table *kernels, const float *scores, float *buffer, size_t columns,
                         float *probability) {
    size_t best = 0;
    memcpy(buffer, scores, columns * sizeof *buffer);
    kernels->softmax_f32(buffer, columns);
    for (size_t j = 1; j < columns; j++)
        if (buffer[j] > buffer[best]) best = j;
    *probability = buffer[best];
    return best;
}

/* "B-PER" -> 'B' and "PER"; labels without a scheme count as I. */
static char scheme_of(const char *label, const char **type) {
    bool schemed = label[0] && strchr("BIESLU", label[0]) && (label[1] == '-' || label[1] == '_');
    *type = schemed ? label + 2 : label;
    if (strcmp(label, "O") == 0) return 'O';
    if (!schemed) return 'I';
    return label[0] == 'S' || label[0] == 'U' ? 'B' : label[0] == 'E' || label[0] == 'L' ? 'I' : label[0];
}

/* Joins tokens into entities. The later pieces of a word belong to the first one, unless punctuation begins them. */
static size_t join(const rubato_model *model, const rubato_token_label *tokens, const size_t *words, const bool *apart,
                   size_t count, rubato_entity *out) {
    size_t entities = 0, joined = 0;
    bool open = false;
    for (size_t i = 0; i < count; i++) {
        bool later = i > 0 && words[i] == words[i - 1] && !apart[i];
        const char *type;
        char scheme = scheme_of(model->labels[tokens[i].label], &type);
        if (later) {
            if (!open) continue;
        } else {
            bool goes_on = open && scheme == 'I' && strcmp(out[entities - 1].label, type) == 0;
            if (open && !goes_on) {
                out[entities - 1].score /= (float)joined;
                open = false;
            }
            if (scheme == 'O') continue;
            if (!goes_on) {
                out[entities++] = (rubato_entity){type, tokens[i].start, tokens[i].end, 0};
                joined = 0;
                open = true;
            }
            out[entities - 1].score += tokens[i].score;
            joined++;
        }
        out[entities - 1].end = tokens[i].end;
    }
    if (open) out[entities - 1].score /= (float)joined;
    return entities;
}

static rubato_status tag_one(const rubato_context *context, const rubato_input *input, const rubato_encoding *encoding,
                             float *const *windows, size_t columns, rubato_tags *out, rubato_error *error) {
    size_t most = 0;
    for (size_t i = 0; i < encoding->count; i++) most += encoding->windows[i].length;
    seen *all = calloc(most + 1, sizeof *all);
    float *buffer = malloc(columns * sizeof *buffer);
    size_t *words = calloc(most + 1, sizeof *words);
    bool *apart = calloc(most + 1, sizeof *apart);
    rubato_token_label *tokens = calloc(most + 1, sizeof *tokens);
    rubato_entity *entities = calloc(most + 1, sizeof *entities);
    out->tokens = tokens;
    out->entities = entities;
    rubato_status status = RUBATO_OK;
    if (!all || !buffer || !words || !apart || !tokens || !entities) {
        status = fail_memory(error);
        goto done;
    }
    out->token_count = collect(encoding, windows, columns, all);
    size_t bytes = input->text_bytes ? input->text_bytes : strlen(input->text), at = 0, place = 0;
    for (size_t i = 0; i < out->token_count; i++) {
        tokens[i].start = all[i].start;
        tokens[i].end = all[i].end;
        tokens[i].label = best_label(context->kernels, all[i].scores, buffer, columns, &tokens[i].score);
        words[i] = all[i].word;
        for (; at < bytes && place < all[i].start; place++) {
            uint32_t code;
            at += utf8_next((const unsigned char *)input->text + at, &code);
        }
        uint32_t code = 0;
        if (at < bytes && place == all[i].start) utf8_next((const unsigned char *)input->text + at, &code);
        apart[i] = code && character_flags(code) & CHARACTER_PUNCTUATION;
        /* a piece after punctuation begins a new word */
        if (i > 0 && !apart[i] && apart[i - 1] && words[i] == words[i - 1]) apart[i] = true;
    }
    out->entity_count = join(context->model, tokens, words, apart, out->token_count, entities);
done:
    free(all);
    free(buffer);
    free(words);
    free(apart);
    return status;
}

rubato_status rubato_tag(rubato_context *context, rubato_tags **tags, const rubato_input *inputs, size_t count,
                         const rubato_options *options, rubato_costs **costs, rubato_error *error) {
    *tags = NULL;
    rubato_options own;
    rubato_text_options text;
    if (costs) *costs = NULL;
    TRY(engine_options(context->model, RUBATO_FOR_TAGS, options, &own, &text, error));
    token_scores scores;
    tag_block *block = NULL;
    rubato_status status;
    TRY_DONE(token_scores_run(&scores, context, HEAD_TOKEN, inputs, count, &own, &text, costs, error));
    block = calloc(1, sizeof *block + count * sizeof block->tags[0]);
    if (!block) {
        status = fail_memory(error);
        goto done;
    }
    block->count = count;
    for (size_t i = 0; i < count; i++)
        TRY_DONE(tag_one(context, &inputs[i], scores.work.encodings[i], scores.windows[i], scores.columns,
                         &block->tags[i], error));
    *tags = block->tags;
done:
    token_scores_free(&scores);
    if (status != RUBATO_OK && block) rubato_tags_destroy(block->tags);
    return costs_end(costs, status);
}
