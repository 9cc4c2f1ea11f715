/* One function for each kind of work: from texts to numbers or JSON. */
#define _GNU_SOURCE
#include "serve/results.h"

#include <stdlib.h>
#include <string.h>

#include "base/input.h"
#include "base/utf8.h"
#include "serve/exchange.h"
#include "serve/json_text.h"
#include "serve/server.h"

typedef struct call {
    hosted *model;
    item **items;
    size_t count;
    rubato_input *inputs;
    rubato_costs *costs; /* where a running function gave them */
    rubato_options options;
} call;

/* A cost outlives the call without the rows of its layers. */
static void take_cost(item *one, const rubato_cost *cost) {
    one->cost = *cost;
    one->cost.rows = NULL;
}

typedef rubato_status run_function(call *c, rubato_error *error);

/* Whether the run is to end early; its answer would not be sent any more. */
static int is_given_up(void *user, size_t done, size_t total) {
    const server *owner = user;
    (void)done;
    (void)total;
    return atomic_load(&owner->giving_up);
}

/* For the kinds of work that run one text at a time. */
static rubato_status go_on(const call *c, rubato_error *error) {
    return is_given_up(c->options.progress_user, 0, 0) ? fail(error, RUBATO_CANCELLED, "cancelled") : RUBATO_OK;
}

/* ---- Numbers ---- */

static rubato_status run_numbers(call *c, rubato_error *error) {
    const exchange *first = c->items[0]->owner;
    size_t width = first->width;
    float *out = malloc(c->count * width * sizeof *out + 1);
    if (!out) return RUBATO_OUT_OF_MEMORY;
    rubato_status status =
        first->kind == WORK_EMBED
            ? rubato_embed(c->model->context, out, c->inputs, c->count, &c->options, &c->costs, error)
            : rubato_logits(c->model->context, out, c->inputs, c->count, &c->options, &c->costs, error);
    for (size_t i = 0; i < c->count && status == RUBATO_OK; i++)
        memcpy(c->items[i]->values, out + i * width, width * sizeof *out);
    free(out);
    return status;
}

/* ---- JSON ---- */

static void add_slice(text_buffer *out, const char *text, size_t bytes, size_t start, size_t end) {
    size_t first = utf8_byte_of(text, bytes, start), last = utf8_byte_of(text, bytes, end);
    text_add_json(out, text + first, last - first);
}

static rubato_status run_token_vectors(call *c, rubato_error *error) {
    const rubato_info *info = c->model->info;
    for (size_t i = 0; i < c->count; i++) {
        float *states;
        size_t length;
        TRY(go_on(c, error));
        rubato_status status =
            rubato_hidden_states(c->model->context, &states, &length, &c->inputs[i], &c->options, error);
        if (status != RUBATO_OK) return status;
        text_buffer *out = &c->items[i]->result;
        text_clear(out);
        text_add(out, "[", 1);
        for (size_t row = 0; row < length; row++) {
            if (row) text_add(out, ",", 1);
            text_add_floats(out, states + (info->layers * length + row) * info->hidden, info->hidden);
        }
        text_add(out, "]", 1);
        rubato_free(states);
        c->items[i]->cost = (rubato_cost){.point = "full", .flops_ratio = 1, .layers = info->layers};
    }
    return RUBATO_OK;
}

/* Names as in the pipelines of `transformers`: groups, or with "none" tokens. */
static void write_tags(const call *c, size_t i, const rubato_tags *tags) {
    text_buffer *out = &c->items[i]->result;
    const rubato_input *input = &c->inputs[i];
    bool tokens = c->options.aggregation && strcmp(c->options.aggregation, "none") == 0;
    size_t bytes = input_size(input->text, input->text_bytes);
    text_add(out, "[", 1);
    for (size_t j = 0; j < tags->entity_count; j++) {
        const rubato_entity *one = &tags->entities[j];
        const char *word = rubato_entity_word(tags, j);
        text_add_format(out, "%s{\"%s\":", j ? "," : "", tokens ? "entity" : "entity_group");
        text_add_json(out, one->label, strlen(one->label));
        text_add_string(out, ",\"score\":");
        text_add_float(out, one->score);
        if (tokens) text_add_format(out, ",\"index\":%zu", rubato_entity_token(tags, j));
        text_add_string(out, ",\"word\":");
        if (word)
            text_add_json(out, word, strlen(word));
        else
            add_slice(out, input->text, bytes, one->start, one->end);
        text_add_format(out, ",\"start\":%zu,\"end\":%zu}", one->start, one->end);
    }
    text_add(out, "]", 1);
}

static rubato_status run_tags(call *c, rubato_error *error) {
    rubato_tags *tags;
    rubato_status status = rubato_tag(c->model->context, &tags, c->inputs, c->count, &c->options, &c->costs, error);
    for (size_t i = 0; i < c->count && status == RUBATO_OK; i++) write_tags(c, i, &tags[i]);
    if (status == RUBATO_OK) rubato_tags_destroy(tags);
    return status;
}

static rubato_status run_answers(call *c, rubato_error *error) {
    rubato_answer_span *spans = calloc(c->count, sizeof *spans);
    if (!spans) return RUBATO_OUT_OF_MEMORY;
    rubato_status status = rubato_answer(c->model->context, spans, c->inputs, c->count, &c->options, &c->costs, error);
    for (size_t i = 0; i < c->count && status == RUBATO_OK; i++) {
        text_buffer *out = &c->items[i]->result;
        const rubato_input *input = &c->inputs[i];
        bool none = c->items[i]->owner->wish.allow_empty && spans[i].null_score > spans[i].score;
        size_t start = none ? 0 : spans[i].start, end = none ? 0 : spans[i].end;
        text_add_string(out, "{\"score\":");
        text_add_float(out, none ? spans[i].null_score : spans[i].score);
        text_add_format(out, ",\"start\":%zu,\"end\":%zu,\"answer\":", start, end);
        add_slice(out, input->pair, input_size(input->pair, input->pair_bytes), start, end);
        text_add(out, "}", 1);
    }
    free(spans);
    return status;
}

/* One list for each mask; a single mask is not wrapped in a list, as in `transformers`. */
static rubato_status fill_one(call *c, size_t i, rubato_error *error) {
    const wish *wished = &c->items[i]->owner->wish;
    size_t top, masks;
    const rubato_model *model = c->model->model;
    rubato_candidate *found;
    rubato_costs *costs;
    rubato_status status = rubato_fill_among(c->model->context, &found, &masks, &top, &c->inputs[i], wished->targets,
                                             wished->target_count, wished->top, &c->options, &costs, error);
    if (status != RUBATO_OK) return status;
    take_cost(c->items[i], rubato_costs_at(costs, 0));
    rubato_free(costs);
    text_buffer *out = &c->items[i]->result;
    if (masks > 1) text_add(out, "[", 1);
    for (size_t mask = 0; mask < masks && status == RUBATO_OK; mask++) {
        text_add_string(out, mask ? ",[" : "[");
        for (size_t j = 0; j < top && status == RUBATO_OK; j++) {
            const rubato_candidate *one = &found[mask * top + j];
            char *word = NULL, *whole = NULL;
            status = rubato_decode(model, &one->id, 1, 0, &word, error);
            if (status == RUBATO_OK) status = rubato_fill_text(model, &c->inputs[i], mask, one->id, &whole, error);
            if (status == RUBATO_OK) {
                text_add_string(out, j ? ",{\"score\":" : "{\"score\":");
                text_add_float(out, one->score);
                text_add_format(out, ",\"token\":%d,\"token_str\":", one->id);
                text_add_json(out, word, strlen(word));
                text_add_string(out, ",\"sequence\":");
                text_add_json(out, whole, strlen(whole));
                text_add(out, "}", 1);
            }
            rubato_free(word);
            rubato_free(whole);
        }
        text_add(out, "]", 1);
    }
    if (masks > 1) text_add(out, "]", 1);
    rubato_free(found);
    return status;
}

static rubato_status run_fills(call *c, rubato_error *error) {
    rubato_status status = RUBATO_OK;
    for (size_t i = 0; i < c->count && status == RUBATO_OK; i++) {
        status = go_on(c, error);
        if (status == RUBATO_OK) status = fill_one(c, i, error);
    }
    return status;
}

static void write_sizes(text_buffer *out, const char *name, const size_t *sizes, const rubato_trace *trace) {
    text_add_format(out, ",\"%s\":[", name);
    for (size_t layer = 0; layer < trace->layers; layer++) {
        text_add_string(out, layer ? "," : "");
        if (trace->ran[layer])
            text_add_format(out, "%zu", sizes[layer]);
        else
            text_add_string(out, "null");
    }
    text_add(out, "]", 1);
}

/* The tokens that were alive after each layer: a string of 0 and 1 for each layer. */
static void write_trace(const call *c, size_t i, const rubato_trace *trace) {
    text_buffer *out = &c->items[i]->result;
    const rubato_window *window = trace->window;
    text_add_string(out, "{\"point\":");
    text_add_json(out, trace->point, strlen(trace->point));
    text_add_string(out, ",\"tokens\":[");
    for (size_t j = 0; j < window->length; j++) {
        size_t bytes;
        const char *text = window->surfaces ? window->surfaces[j] : NULL;
        if (text)
            bytes = strlen(text);
        else
            text = rubato_token(c->model->model, window->ids[j], &bytes);
        if (j) text_add(out, ",", 1);
        text_add_json(out, text ? text : "", text ? bytes : 0);
    }
    text_add_string(out, "],\"special\":[");
    for (size_t j = 0; j < window->length; j++)
        text_add_string(out, window->sequences[j] == 255 ? (j ? ",1" : "1") : (j ? ",0" : "0"));
    text_add_string(out, "],\"sequences\":[");
    for (size_t j = 0; j < window->length; j++) {
        text_add_string(out, j ? "," : "");
        if (window->sequences[j] == 255)
            text_add_string(out, "null");
        else
            text_add_format(out, "%u", window->sequences[j]);
    }
    text_add_string(out, "],\"layers\":[");
    for (size_t layer = 0; layer < trace->layers; layer++) {
        text_add_string(out, layer ? "," : "");
        if (!trace->ran[layer]) {
            text_add_string(out, "null");
            continue;
        }
        text_add(out, "\"", 1);
        for (size_t j = 0; j < window->length; j++)
            text_add(out, trace->alive[layer * window->length + j] ? "1" : "0", 1);
        text_add(out, "\"", 1);
    }
    text_add(out, "]", 1);
    write_sizes(out, "heads", trace->heads, trace);
    write_sizes(out, "neurons", trace->neurons, trace);
    text_add_format(out, ",\"cut\":%zu,\"left_after\":", trace->cut);
    if (trace->left_after)
        text_add_format(out, "%zu}", trace->left_after);
    else
        text_add_string(out, "null}");
}

static rubato_status run_traces(call *c, rubato_error *error) {
    for (size_t i = 0; i < c->count; i++) {
        rubato_trace *trace;
        TRY(go_on(c, error));
        rubato_status status = rubato_trace_text(c->model->context, &c->inputs[i], &c->options, &trace, error);
        if (status != RUBATO_OK) return status;
        write_trace(c, i, trace);
        c->items[i]->cost = (rubato_cost){.point = trace->point, .flops = 1, .full_flops = 1};
        rubato_trace_destroy(trace);
    }
    return RUBATO_OK;
}

/* ---- All ---- */

static run_function *const functions[WORK_ANY] = {run_numbers, run_token_vectors, run_numbers, run_tags,
                                                  run_answers, run_fills,         run_traces};

rubato_status results_run(hosted *model, item **items, size_t count, const char *budget, rubato_error *error) {
    const exchange *first = items[0]->owner;
    call c = {.model = model, .items = items, .count = count, .options = first->options};
    c.inputs = calloc(count, sizeof *c.inputs);
    c.options.budget = budget;
    c.options.progress = is_given_up;
    c.options.progress_user = first->server;
    rubato_status status = c.inputs ? RUBATO_OK : RUBATO_OUT_OF_MEMORY;
    for (size_t i = 0; i < count && status == RUBATO_OK; i++) {
        c.inputs[i] = items[i]->input;
        text_free(&items[i]->result);
    }
    if (status == RUBATO_OK) status = functions[first->kind](&c, error);
    for (size_t i = 0; i < count && status == RUBATO_OK; i++)
        if (items[i]->result.failed) status = RUBATO_OUT_OF_MEMORY;
    for (size_t i = 0; i < count && c.costs; i++) take_cost(items[i], rubato_costs_at(c.costs, i));
    free(c.inputs);
    rubato_free(c.costs);
    return status;
}
