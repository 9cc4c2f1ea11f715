/* Tagging: a label for every token, and entities from them. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/order.h"
#include "base/text_list.h"
#include "base/utf8.h"
#include "task/context.h"
#include "task/costs.h"
#include "task/encode.h"
#include "task/text_tokens.h"
#include "task/token_scores.h"
#include "text/unicode.h"

/* All tags of one call: one block of memory behind the array that the caller gets. */
typedef struct tag_block {
    size_t count;
    rubato_tags tags[];
} tag_block;

/* The entities of one text, and behind the array that the caller gets what an entity cannot hold. */
typedef struct entity_block {
    entity_list list; /* their words and indices; empty with Rubato's own rule */
    rubato_entity entities[];
} entity_block;

static entity_block *entities_of(const rubato_tags *tags) {
    return (entity_block *)(void *)((char *)(uintptr_t)tags->entities - offsetof(entity_block, entities));
}

const char *rubato_entity_word(const rubato_tags *tags, size_t entity) {
    const entity_list *list = &entities_of(tags)->list;
    return entity < list->count ? list->items[entity].word : NULL;
}

size_t rubato_entity_token(const rubato_tags *tags, size_t entity) {
    const entity_list *list = &entities_of(tags)->list;
    return entity < list->count ? list->items[entity].index : 0;
}

void rubato_tags_destroy(rubato_tags *tags) {
    if (!tags) return;
    tag_block *block = (tag_block *)(void *)((char *)tags - offsetof(tag_block, tags));
    for (size_t i = 0; i < block->count; i++) {
        if (block->tags[i].entities) {
            entity_list_free(&entities_of(&block->tags[i])->list);
            free(entities_of(&block->tags[i]));
        }
        free((void *)(uintptr_t)block->tags[i].tokens);
    }
    free(block);
}

/* Gives tokens the probabilities of their labels, from the windows in which they are. */
static void give_scores(text_token *all, size_t count, float *const *windows, size_t columns) {
    for (size_t i = 0; i < count; i++) all[i].at.scores = windows[all[i].window] + all[i].row * columns;
}

static size_t best_label(const float *scores, size_t columns, float *probability) {
    size_t best = index_of_largest(scores, columns);
    *probability = scores[best];
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

/* Joins tokens into entities of the types that are not ignored. The later pieces of a word belong to the first one,
 * unless punctuation begins them. */
static size_t join(const rubato_model *model, const char *ignored, const rubato_token_label *tokens,
                   const text_token *all, const bool *apart, size_t count, rubato_entity *out) {
    size_t entities = 0, joined = 0;
    bool open = false;
    for (size_t i = 0; i < count; i++) {
        bool later = i > 0 && all[i].word == all[i - 1].word && !apart[i];
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
    size_t kept = 0;
    for (size_t i = 0; i < entities; i++)
        if (!text_list_has(ignored, out[i].label)) out[kept++] = out[i];
    return kept;
}

/* Whether punctuation begins a token, or the token follows one that does within a word. */
static void find_apart(const pointed_text *text, const text_token *all, size_t count, bool *apart) {
    for (size_t i = 0; i < count; i++) {
        uint32_t code = 0;
        size_t start = all[i].at.start;
        if (start < text->points) utf8_next((const unsigned char *)text->text + text->bytes[start], &code);
        apart[i] = code && character_flags(code) & CHARACTER_PUNCTUATION;
        if (i > 0 && !apart[i] && apart[i - 1] && all[i].word == all[i - 1].word) apart[i] = true;
    }
}

/* How tokens become entities. */
typedef struct joining {
    aggregation how;
    const char *ignored;
} joining;

/* The array of entities that the caller gets, with room for more; takes the list over. */
static rubato_status keep_entities(entity_list *list, size_t room, rubato_tags *out, rubato_error *error) {
    entity_block *block = calloc(1, sizeof *block + (size_max(room, list->count) + 1) * sizeof block->entities[0]);
    if (!block) return fail_memory(error);
    for (size_t i = 0; i < list->count; i++) block->entities[i] = list->items[i].entity;
    block->list = *list;
    out->entities = block->entities;
    out->entity_count = list->count;
    *list = (entity_list){0};
    return RUBATO_OK;
}

/* Entities by Rubato's own rule. */
static rubato_status join_words(const rubato_model *model, const joining *how, const pointed_text *text,
                                const text_token *all, rubato_tags *out, rubato_error *error) {
    size_t count = out->token_count;
    entity_list none = {0};
    bool *apart = calloc(count + 1, sizeof *apart);
    rubato_status status = apart ? keep_entities(&none, count, out, error) : fail_memory(error);
    if (status == RUBATO_OK) {
        find_apart(text, all, count, apart);
        out->entity_count = join(model, how->ignored, out->tokens, all, apart, count, entities_of(out)->entities);
    }
    free(apart);
    return status;
}

/* Entities by a strategy of `transformers`, of each window and then of all; AGGREGATE_NONE: of all tokens. */
static rubato_status join_placed(const rubato_model *model, const joining *join, const pointed_text *text,
                                 const rubato_encoding *encoding, float *const *windows, text_token *all,
                                 rubato_tags *out, rubato_error *error) {
    bool once = join->how == AGGREGATE_NONE;
    size_t most = out->token_count, count = most;
    entity_list found = {0};
    for (size_t w = 0; w < encoding->count; w++) most = size_max(most, encoding->windows[w].length);
    placed_token *placed = calloc(most + 1, sizeof *placed);
    rubato_status status = placed ? RUBATO_OK : fail_memory(error);
    for (size_t w = 0; w < (once ? 1 : encoding->count) && status == RUBATO_OK; w++) {
        if (!once) {
            count = text_tokens_of_window(encoding, w, all);
            give_scores(all, count, windows, model->info.label_count);
        }
        for (size_t i = 0; i < count; i++) placed[i] = all[i].at;
        status = aggregate(model, join->how, join->ignored, text, placed, count, &found, error);
    }
    if (!once && encoding->count > 1) entity_list_resolve(&found);
    if (status == RUBATO_OK) status = keep_entities(&found, 0, out, error);
    entity_list_free(&found);
    free(placed);
    return status;
}

static rubato_status tag_one(const rubato_context *context, const joining *how, const rubato_input *input,
                             const rubato_encoding *encoding, float *const *windows, size_t columns, rubato_tags *out,
                             rubato_error *error) {
    size_t most = 0;
    for (size_t w = 0; w < encoding->count; w++) {
        size_t length = encoding->windows[w].length;
        for (size_t i = 0; i < length; i++) context->kernels->softmax_f32(windows[w] + i * columns, columns);
        most += length;
    }
    text_token *all = calloc(most + 1, sizeof *all);
    rubato_token_label *tokens = calloc(most + 1, sizeof *tokens);
    pointed_text text = pointed_text_create(input);
    rubato_status status = all && tokens && text.bytes ? RUBATO_OK : fail_memory(error);
    out->tokens = tokens;
    if (status == RUBATO_OK) {
        out->token_count = text_tokens_list(encoding, all);
        give_scores(all, out->token_count, windows, columns);
        for (size_t i = 0; i < out->token_count; i++) {
            tokens[i] = (rubato_token_label){.start = all[i].at.start, .end = all[i].at.end};
            tokens[i].label = best_label(all[i].at.scores, columns, &tokens[i].score);
        }
        status = how->how == AGGREGATE_ENTITIES
                     ? join_words(context->model, how, &text, all, out, error)
                     : join_placed(context->model, how, &text, encoding, windows, all, out, error);
    }
    free(all);
    free(text.bytes);
    return status;
}

rubato_status rubato_tag(rubato_context *context, rubato_tags **tags, const rubato_input *inputs, size_t count,
                         const rubato_options *options, rubato_costs **costs, rubato_error *error) {
    *tags = NULL;
    rubato_options own;
    rubato_text_options text;
    if (costs) *costs = NULL;
    TRY(engine_options(context->model, RUBATO_FOR_TAGS, options, &own, &text, error));
    joining how = {.ignored = own.ignore_labels ? own.ignore_labels : "O"};
    TRY(aggregation_find(&how.how, own.aggregation, error));
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
        TRY_DONE(tag_one(context, &how, &inputs[i], scores.work.encodings[i], scores.windows[i], scores.columns,
                         &block->tags[i], error));
    *tags = block->tags;
done:
    token_scores_free(&scores);
    if (status != RUBATO_OK && block) rubato_tags_destroy(block->tags);
    return costs_end(costs, status);
}
