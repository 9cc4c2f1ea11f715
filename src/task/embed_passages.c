/* Vectors of the passages of long texts. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/input.h"
#include "base/options.h"
#include "task/costs.h"
#include "task/encode.h"
#include "task/late_passages.h"

/* The result with room for the vectors of all passages; one block for rubato_free. *vectors: [passages, width] */
static rubato_status make_result(rubato_passages **out, const passage_list *lists, size_t count, size_t width,
                                 float **vectors, rubato_error *error) {
    size_t passages = 0, bytes;
    for (size_t i = 0; i < count; i++) passages += lists[i].count;
    if (!checked_multiply(passages, sizeof(rubato_passage) + width * sizeof(float), &bytes) ||
        !checked_add(bytes, (count + 1) * sizeof **out, &bytes) || !(*out = calloc(1, bytes)))
        return fail_memory(error);
    rubato_passage *at = (rubato_passage *)(void *)(*out + count + 1);
    float *vector = *vectors = (float *)(void *)(at + passages);
    for (size_t i = 0; i < count; i++) {
        (*out)[i] = (rubato_passages){lists[i].count, at};
        for (size_t j = 0; j < lists[i].count; j++, at++, vector += width) {
            *at = lists[i].items[j];
            at->vector = vector;
        }
    }
    return RUBATO_OK;
}

/* ---- Passages that are read alone ---- */

/* The tokens that a passage may have besides special ones and the prompt. */
static rubato_status find_room(const rubato_model *model, const char *prompt, const rubato_text_options *text,
                               size_t *room, rubato_error *error) {
    size_t taken = tokenizer_specials(model->text, false);
    rubato_encoding *encoding;
    const rubato_text_options whole = {.size = sizeof whole, .whole = 1, .no_special = 1};
    const rubato_input input = {.text = prompt ? prompt : ""};
    TRY(rubato_encode(model, &input, &whole, &encoding, error));
    taken += encoding->windows[0].length;
    rubato_encoding_destroy(encoding);
    *room = text->max_length > taken ? text->max_length - taken : 0;
    if (*room > 0) return RUBATO_OK;
    return fail(
        error, RUBATO_BAD_ARGUMENT,
        "special tokens and the prompt have %zu tokens, which leaves no room for a passage; allow more than %zu", taken,
        text->max_length);
}

static rubato_status cut_text(const rubato_model *model, const rubato_input *input, const rubato_text_options *how,
                              size_t most, passage_list *out, rubato_error *error) {
    rubato_encoding *encoding;
    rubato_text_options whole = *how;
    whole.whole = whole.no_special = 1;
    whole.windows = 0;
    TRY(rubato_encode(model, input, &whole, &encoding, error));
    text_token *tokens = calloc(encoding->windows[0].length + 1, sizeof *tokens);
    pointed_text text = pointed_text_create(input);
    rubato_status status = tokens && text.bytes ? RUBATO_OK : fail_memory(error);
    if (status == RUBATO_OK)
        status = passage_list_create(out, &text, tokens, text_tokens_list(encoding, tokens), most, error);
    free(tokens);
    free(text.bytes);
    rubato_encoding_destroy(encoding);
    return status;
}

/* The passages of all texts as inputs, and the text of each. */
typedef struct slices {
    rubato_input *inputs;
    size_t *owner, count;
} slices;

static rubato_status make_slices(slices *out, const passage_list *lists, const rubato_input *inputs, size_t count,
                                 rubato_error *error) {
    size_t passages = 0;
    for (size_t i = 0; i < count; i++) passages += lists[i].count;
    *out = (slices){calloc(passages + 1, sizeof *out->inputs), calloc(passages + 1, sizeof *out->owner), 0};
    if (!out->inputs || !out->owner) return fail_memory(error);
    for (size_t i = 0; i < count; i++) {
        pointed_text text = pointed_text_create(&inputs[i]);
        if (!text.bytes) return fail_memory(error);
        for (size_t j = 0; j < lists[i].count; j++) {
            const size_t first = text.bytes[lists[i].items[j].start], end = text.bytes[lists[i].items[j].end];
            out->owner[out->count] = i;
            out->inputs[out->count++] =
                (rubato_input){.text = text.text + first, .text_bytes = input_bytes(end - first)};
        }
        free(text.bytes);
    }
    return RUBATO_OK;
}

static rubato_status embed_slices(rubato_context *context, rubato_passages **out, const passage_list *lists,
                                  const rubato_input *inputs, size_t count, const rubato_options *options,
                                  rubato_costs **costs, rubato_error *error) {
    slices all;
    float *vectors;
    rubato_costs *parts = NULL;
    rubato_status status;
    TRY_DONE(make_slices(&all, lists, inputs, count, error));
    TRY_DONE(make_result(out, lists, count, context->model->pool.width, &vectors, error));
    status = rubato_embed(context, vectors, all.inputs, all.count, options, costs ? &parts : NULL, error);
    if (status != RUBATO_OK && error && error->line > 0) error->line = all.owner[error->line - 1] + 1;
    if (status == RUBATO_OK && costs) status = costs_create(costs, count, context->model->body.depth, error);
    for (size_t i = 0; status == RUBATO_OK && costs && i < all.count; i++)
        costs_add(*costs, all.owner[i], rubato_costs_at(parts, i));
done:
    rubato_free(parts);
    free(all.inputs);
    free(all.owner);
    return status;
}

static rubato_status embed_alone(rubato_context *context, rubato_passages **out, const rubato_input *inputs,
                                 size_t count, size_t tokens, const rubato_options *options, rubato_costs **costs,
                                 rubato_error *error) {
    rubato_options own;
    rubato_text_options text;
    size_t room;
    TRY(engine_options(context->model, RUBATO_FOR_EMBEDDINGS, options, &own, &text, error));
    TRY(find_room(context->model, engine_prompt(context->model, &own), &text, &room, error));
    if (tokens > room)
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "passages of %zu tokens; this model reads %zu at once beside special tokens and the prompt", tokens,
                    room);
    text.windows = 0;
    own.text = &text;
    passage_list *lists = calloc(count + 1, sizeof *lists);
    rubato_status status = lists ? RUBATO_OK : fail_memory(error);
    for (size_t i = 0; i < count && status == RUBATO_OK; i++) {
        status = cut_text(context->model, &inputs[i], &text, tokens ? tokens : room, &lists[i], error);
        if (status != RUBATO_OK && error) error->line = i + 1;
    }
    if (status == RUBATO_OK) status = embed_slices(context, out, lists, inputs, count, &own, costs, error);
    for (size_t i = 0; lists && i < count; i++) passage_list_free(&lists[i]);
    free(lists);
    return status;
}

/* ---- Passages from one pass ---- */

static rubato_status embed_late(rubato_context *context, rubato_passages **out, const rubato_input *inputs,
                                size_t count, size_t tokens, const rubato_options *options, rubato_costs **costs,
                                rubato_error *error) {
    const rubato_model *model = context->model;
    rubato_options own;
    rubato_text_options text;
    float *vectors;
    TRY(engine_options(model, RUBATO_FOR_PASSAGES, options, &own, &text, error));
    if (!pooling_has_parts(&model->pool))
        return fail(error, RUBATO_UNSUPPORTED,
                    "%s: late passages need pooling by mean or max, and this model has \"%s\"; each passage can be "
                    "read alone",
                    model->path, model->info.pooling);
    late_passages late = {.model = model, .inputs = inputs, .prompt = engine_prompt(model, &own)};
    late.most = tokens ? tokens : text.max_length;
    rubato_status status = engine_prompt_tokens(model, late.prompt, &late.skip, error);
    if (status == RUBATO_OK) status = late_passages_run(&late, context, count, &own, &text, costs, error);
    if (status == RUBATO_OK) status = make_result(out, late.lists, count, model->pool.width, &vectors, error);
    if (status == RUBATO_OK) status = late_passages_vectors(&late, context, vectors, error);
    late_passages_free(&late);
    return status;
}

rubato_status rubato_embed_passages(rubato_context *context, rubato_passages **out, const rubato_input *inputs,
                                    size_t count, const rubato_passage_options *options, rubato_costs **costs,
                                    rubato_error *error) {
    rubato_passage_options own;
    *out = NULL;
    if (costs) *costs = NULL;
    TRY(OPTIONS_COPY(&own, rubato_passage_options, options, error));
    TRY(engine_check_inputs(inputs, count, error));
    for (size_t i = 0; i < count; i++)
        if (inputs[i].encoding || inputs[i].pair)
            return fail_line(error, RUBATO_BAD_ARGUMENT, i + 1,
                             "a pair, or an encoding: passages are cut from a single text");
    rubato_status status =
        (own.late ? embed_late : embed_alone)(context, out, inputs, count, own.tokens, own.run, costs, error);
    for (size_t i = 0; i < count && status == RUBATO_OK; i++)
        if ((*out)[i].count)
            status = engine_check((*out)[i].items[0].vector, (*out)[i].count * context->model->pool.width, error);
    if (status != RUBATO_OK) {
        rubato_free(*out);
        *out = NULL;
    }
    return costs_end(costs, status);
}
