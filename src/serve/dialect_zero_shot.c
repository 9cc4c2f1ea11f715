/* Zero-shot classification: each text with each label's sentence is a pair for a model of natural language inference.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/text_list.h"
#include "serve/dialects.h"
#include "serve/fields.h"
#include "serve/json_text.h"
#include "serve/scores.h"
#include "serve/server.h"

/* ---- Answers ---- */

/* Writes the answer for one text: its scores, in `order`. */
typedef void write_scores(exchange *e, const json_t *text, const float *scores, const size_t *order);

static void write_label(exchange *e, size_t label) {
    text_add_json(&e->answer, e->wish.labels[label], strlen(e->wish.labels[label]));
}

/* As the pipeline of `transformers`. */
static void write_lists(exchange *e, const json_t *text, const float *scores, const size_t *order) {
    text_buffer *out = &e->answer;
    text_add_string(out, "{\"sequence\":");
    if (json_is_object(text)) text = json_object_get(text, "text");
    text_add_json(out, json_string_value(text), json_string_length(text));
    text_add_string(out, ",\"labels\":[");
    for (size_t i = 0; i < e->wish.label_count; i++) {
        if (i) text_add(out, ",", 1);
        write_label(e, order[i]);
    }
    text_add_string(out, "],\"scores\":[");
    for (size_t i = 0; i < e->wish.label_count; i++) {
        if (i) text_add(out, ",", 1);
        text_add_float(out, scores[order[i]]);
    }
    text_add_string(out, "]}");
}

/* As the other answers of /predict. */
static void write_elements(exchange *e, const json_t *text, const float *scores, const size_t *order) {
    text_buffer *out = &e->answer;
    (void)text;
    text_add(out, "[", 1);
    for (size_t i = 0; i < e->wish.label_count; i++) {
        text_add_string(out, i ? ",{\"score\":" : "{\"score\":");
        text_add_float(out, scores[order[i]]);
        text_add_string(out, ",\"label\":");
        write_label(e, order[i]);
        text_add(out, "}", 1);
    }
    text_add(out, "]", 1);
}

/* The pairs of a text stand together, and so do their logits. */
static void finish_with(exchange *e, write_scores *write) {
    size_t labels = e->wish.label_count, *order = calloc(labels, sizeof *order);
    float *scores = calloc(labels, sizeof *scores);
    const json_t *inputs = json_object_get(e->request, "inputs");
    bool good = order && scores;
    if (!e->wish.single) text_add(&e->answer, "[", 1);
    for (size_t i = 0; i < e->count && good; i += labels) {
        good = rubato_zero_shot_scores(e->model->model, e->items[i].values, labels, e->wish.multi_label, scores,
                                       NULL) == RUBATO_OK &&
               sort_by_value(scores, labels, order);
        if (i) text_add(&e->answer, ",", 1);
        if (good) write(e, e->wish.single ? inputs : json_array_get(inputs, i / labels), scores, order);
    }
    if (!e->wish.single) text_add(&e->answer, "]", 1);
    if (!good) e->answer.failed = true;
    free(order);
    free(scores);
}

static void finish_lists(exchange *e) {
    finish_with(e, write_lists);
}

static void finish_elements(exchange *e) {
    finish_with(e, write_elements);
}

/* ---- Requests ---- */

/* One label, several in one text ("a, b"), or a list. */
static bool take_labels(exchange *e) {
    const json_t *given;
    wish *to = &e->wish;
    if (!field_texts(e, parameters_of(e), "candidate_labels", &given)) return false;
    if (json_is_string(given)) {
        to->labels = (const char **)text_list_split(json_string_value(given), &to->label_count);
    } else {
        to->label_count = json_array_size(given);
        to->labels = calloc(to->label_count + 1, sizeof *to->labels);
        for (size_t i = 0; to->labels && i < to->label_count; i++) to->labels[i] = field_text_at(given, i);
    }
    if (!to->labels) {
        exchange_fail(e, 503, "Unhealthy", "out of memory");
        return false;
    }
    return to->label_count || check_batch(e, 0, "candidate_labels");
}

/* Makes the pairs of a text, number `index` of the request or WHOLE_FIELD. */
static bool take_pairs(exchange *e, const json_t *text, const char *hypothesis, size_t index) {
    size_t first = index == WHOLE_FIELD ? 0 : index * e->wish.label_count;
    for (size_t i = 0; i < e->wish.label_count; i++) {
        item *one = &e->items[first + i];
        rubato_error error;
        place_item(one, "inputs", index);
        if (!take_string(e, one, text, false)) return false;
        rubato_status status = rubato_hypothesis(hypothesis, e->wish.labels[i], &one->own_text, &error);
        if (status != RUBATO_OK) {
            exchange_fail_with(e, status, &error);
            return false;
        }
        one->input.pair = one->own_text;
        one->input.pair_bytes = strlen(one->own_text);
    }
    return true;
}

static bool read_zero_shot(exchange *e) {
    const json_t *inputs = json_object_get(e->request, "inputs");
    const char *hypothesis;
    size_t entailment, pairs, texts = json_is_array(inputs) ? json_array_size(inputs) : 1;
    rubato_error error;
    if (!take_model_like(e, WORK_ENTAIL, WORK_SCORES, "model is not a classifier model") ||
        !take_options(e, e->request))
        return false;
    rubato_status status = rubato_entailment(e->model->model, &entailment, &error);
    if (status != RUBATO_OK) {
        exchange_fail_with(e, status, &error);
        return false;
    }
    if (!take_labels(e) || !field_text(e, parameters_of(e), "hypothesis_template", &hypothesis) ||
        !field_bool(e, parameters_of(e), "multi_label", false, &e->wish.multi_label))
        return false;
    if (!checked_multiply(texts, e->wish.label_count, &pairs)) pairs = SIZE_MAX;
    if (!check_batch(e, pairs, "inputs") || !exchange_make_items(e, pairs, score_width(e->model))) return false;
    e->text.truncation = RUBATO_ONLY_FIRST;
    e->wish.single = !json_is_array(inputs);
    for (size_t i = 0; i < texts; i++)
        if (!take_pairs(e, e->wish.single ? inputs : json_array_get(inputs, i), hypothesis,
                        e->wish.single ? WHOLE_FIELD : i))
            return false;
    return true;
}

void task_zero_shot(exchange *e) {
    e->finish = finish_lists;
    exchange_submit_if(e, read_zero_shot(e));
}

void zero_shot_predict(exchange *e) {
    e->finish = finish_elements;
    exchange_submit_if(e, read_zero_shot(e));
}
