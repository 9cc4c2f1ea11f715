/* Tagging, answering questions, filling masks, and the trace of the tokens that a budget keeps. */
#include <stdlib.h>
#include <string.h>

#include "serve/dialects.h"
#include "serve/fields.h"
#include "serve/json_text.h"
#include "serve/server.h"

static void finish_results(exchange *e) {
    text_buffer *out = &e->answer;
    if (!e->wish.single) text_add(out, "[", 1);
    for (size_t i = 0; i < e->count; i++) {
        if (i) text_add(out, ",", 1);
        text_add(out, e->items[i].result.data, e->items[i].result.length);
    }
    if (!e->wish.single) text_add(out, "]", 1);
}

static void submit_results(exchange *e, bool good) {
    e->finish = finish_results;
    exchange_submit_if(e, good);
}

static bool take_inputs(exchange *e) {
    return take_texts(e, json_object_get(e->request, "inputs"), "inputs", 0);
}

/* The library takes them as one text. */
static bool take_ignored(exchange *e) {
    const json_t *labels;
    text_buffer *out = &e->wish.ignored;
    if (!field_texts(e, parameters_of(e), "ignore_labels", &labels)) return false;
    if (!labels) return true;
    const char *label;
    for (size_t i = 0; (label = field_text_at(labels, i)); i++) {
        if (strchr(label, ',')) {
            exchange_fail(e, 422, "Validation", "`ignore_labels` should hold labels without commas");
            return false;
        }
        if (i) text_add(out, ",", 1);
        text_add_string(out, label);
    }
    text_add(out, "", 0);
    e->options.ignore_labels = out->data;
    if (out->failed) exchange_fail(e, 503, "Unhealthy", "out of memory");
    return !out->failed;
}

static bool read_tag(exchange *e) {
    static const char *const known[] = {"entities", "none", "simple", "first", "average", "max"};
    const char **how = &e->options.aggregation;
    if (!take_model(e, WORK_TAG, "model is not a token classification model") || !take_options(e, e->request) ||
        !field_text(e, parameters_of(e), "aggregation_strategy", how) ||
        !field_count(e, parameters_of(e), "stride", 0, &e->text.stride) || !take_ignored(e))
        return false;
    bool good = !*how;
    for (size_t i = 0; i < sizeof known / sizeof *known && *how; i++) good = good || strcmp(*how, known[i]) == 0;
    if (good) return take_inputs(e);
    exchange_fail(e, 422, "Validation",
                  "`aggregation_strategy` should be entities, none, simple, first, average or max");
    return false;
}

void task_tag(exchange *e) {
    submit_results(e, read_tag(e));
}

static bool take_question(exchange *e, item *one, const json_t *value) {
    const json_t *question = json_object_get(value, "question"), *context = json_object_get(value, "context");
    if (json_is_string(question) && json_is_string(context))
        return take_string(e, one, question, false) && take_string(e, one, context, true);
    exchange_fail(e, 422, "Validation",
                  "Failed to deserialize the JSON body into the target type: `inputs` should hold `question` and "
                  "`context`");
    return false;
}

static bool read_answer(exchange *e) {
    const json_t *inputs = json_object_get(e->request, "inputs");
    bool list = json_is_array(inputs);
    size_t count = list ? json_array_size(inputs) : 1;
    if (!take_model(e, WORK_ANSWER, "model is not a question answering model") || !take_options(e, e->request) ||
        !field_count(e, parameters_of(e), "doc_stride", 0, &e->text.stride) ||
        !field_bool(e, parameters_of(e), "handle_impossible_answer", false, &e->wish.allow_empty))
        return false;
    e->text.truncation = RUBATO_ONLY_SECOND;
    if (!check_batch(e, count, "inputs") || !exchange_make_items(e, count, 0)) return false;
    e->wish.single = !list;
    for (size_t i = 0; i < count; i++) {
        if (!list) place_item(&e->items[i], "inputs", WHOLE_FIELD);
        if (!take_question(e, &e->items[i], list ? json_array_get(inputs, i) : inputs)) return false;
    }
    return true;
}

void task_answer(exchange *e) {
    submit_results(e, read_answer(e));
}

/* Targets as in `transformers`: of a word that is no token, its first token. */
static bool take_targets(exchange *e) {
    const json_t *texts;
    if (!field_texts(e, parameters_of(e), "targets", &texts)) return false;
    if (!texts) return true;
    wish *to = &e->wish;
    to->targets = calloc(json_array_size(texts) + 1, sizeof *to->targets);
    if (!to->targets) {
        exchange_fail(e, 503, "Unhealthy", "out of memory");
        return false;
    }
    const char *text;
    for (size_t i = 0; (text = field_text_at(texts, i)); i++) {
        rubato_error error;
        int32_t id;
        int exact;
        rubato_status status = rubato_fill_target(e->model->model, text, &id, &exact, &error);
        if (status != RUBATO_OK) {
            exchange_fail_with(e, status, &error);
            return false;
        }
        if (id >= 0) to->targets[to->target_count++] = id;
        if (!exact) to->replaced++;
    }
    if (to->target_count) return true;
    exchange_fail(e, 422, "Validation", "`targets` should hold at least one word that has a token");
    return false;
}

void task_fill(exchange *e) {
    submit_results(e, take_model(e, WORK_FILL, "model is not a masked language model") && take_options(e, e->request) &&
                          field_count(e, parameters_of(e), "top_k", 5, &e->wish.top) && take_targets(e) &&
                          take_inputs(e));
}

/* A text, {"text", "text_pair"}, or {"question", "context"}. */
static bool take_traced(exchange *e, item *one, const json_t *value) {
    const json_t *pair = json_object_get(value, "text_pair");
    if (json_object_get(value, "question")) {
        e->text.truncation = RUBATO_ONLY_SECOND;
        return take_question(e, one, value);
    }
    if (json_is_object(value)) return take_string(e, one, value, false) && (!pair || take_string(e, one, pair, true));
    return take_text(e, one, value);
}

static bool read_trace(exchange *e) {
    const json_t *inputs = json_object_get(e->request, "inputs");
    bool asks = json_object_get(json_is_array(inputs) ? json_array_get(inputs, 0) : inputs, "question");
    return take_model_like(e, asks ? WORK_ANSWER : WORK_TRACE, WORK_TRACE, "there is no model") &&
           take_options(e, e->request) && take_each(e, inputs, "inputs", 0, take_traced);
}

void task_trace(exchange *e) {
    submit_results(e, read_trace(e));
}
