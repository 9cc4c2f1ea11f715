/* The dialect of text-embeddings-inference: the fields of requests and answers, its messages and its status codes. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/utf8.h"
#include "serve/dialects.h"
#include "serve/fields.h"
#include "serve/json_text.h"
#include "serve/scores.h"
#include "serve/server.h"

static const char NO_EMBEDDING[] = "model is not an embedding model",
                  NO_CLASSIFIER[] = "model is not a classifier model", NO_RERANKER[] = "model is not a re-ranker model";

/* ---- Embeddings ---- */

static void finish_embed(exchange *e) {
    text_buffer *out = &e->answer;
    size_t width = embedding_shape(e);
    text_add(out, "[", 1);
    for (size_t i = 0; i < e->count; i++) {
        if (i) text_add(out, ",", 1);
        text_add_floats(out, e->items[i].values, width);
    }
    text_add(out, "]", 1);
}

static bool read_embed(exchange *e) {
    return take_model(e, WORK_EMBED, NO_EMBEDDING) && take_options(e, e->request) && take_prompt(e, e->request) &&
           field_bool(e, e->request, "normalize", true, &e->wish.normalize) &&
           field_size(e, e->request, "dimensions", 0, &e->wish.dimensions) && check_dimensions(e) &&
           take_texts(e, json_object_get(e->request, "inputs"), "inputs", e->model->info->width);
}

void tei_embed(exchange *e) {
    e->finish = finish_embed;
    exchange_submit_if(e, read_embed(e));
}

static void finish_embed_all(exchange *e) {
    text_add(&e->answer, "[", 1);
    for (size_t i = 0; i < e->count; i++) {
        if (i) text_add(&e->answer, ",", 1);
        text_add(&e->answer, e->items[i].result.data, e->items[i].result.length);
    }
    text_add(&e->answer, "]", 1);
}

void tei_embed_all(exchange *e) {
    e->finish = finish_embed_all;
    exchange_submit_if(e, take_model(e, WORK_TOKEN_VECTORS, NO_EMBEDDING) && take_options(e, e->request) &&
                              take_prompt(e, e->request) &&
                              take_texts(e, json_object_get(e->request, "inputs"), "inputs", 0));
}

void tei_embed_sparse(exchange *e) {
    e->failure = "model_type";
    exchange_fail(e, 424, "Backend", "Backend error: model is not an embedding model with SPLADE pooling");
    exchange_complete(e);
}

static void finish_similarity(exchange *e) {
    size_t width = e->model->info->width;
    text_add(&e->answer, "[", 1);
    for (size_t i = 1; i < e->count; i++) {
        if (i > 1) text_add(&e->answer, ",", 1);
        text_add_float(&e->answer, cosine(e->items[0].values, e->items[i].values, width));
    }
    text_add(&e->answer, "]", 1);
}

static bool read_similarity(exchange *e) {
    const json_t *inputs = json_object_get(e->request, "inputs"), *source = json_object_get(inputs, "source_sentence"),
                 *sentences = json_object_get(inputs, "sentences");
    const json_t *parameters = json_object_get(e->request, "parameters");
    if (!take_model(e, WORK_EMBED, NO_EMBEDDING)) return false;
    const json_t *options = json_is_object(parameters) ? parameters : e->request;
    if (!take_options(e, options) || !take_prompt(e, options)) return false;
    size_t count = json_array_size(sentences);
    if (!json_is_string(source) || !json_is_array(sentences)) {
        exchange_fail(e, 422, "Validation",
                      "Failed to deserialize the JSON body into the target type: `inputs` should hold "
                      "`source_sentence` and `sentences`");
        return false;
    }
    if (count == 0) {
        exchange_fail(e, 400, "Empty", "`inputs.sentences` cannot be empty");
        return false;
    }
    if (!check_batch(e, count + 1, "inputs.sentences") || !exchange_make_items(e, count + 1, e->model->info->width))
        return false;
    place_item(&e->items[0], "inputs.source_sentence", WHOLE_FIELD);
    if (!take_text(e, &e->items[0], source)) return false;
    for (size_t i = 0; i < count; i++) {
        place_item(&e->items[i + 1], "inputs.sentences", i);
        if (!take_text(e, &e->items[i + 1], json_array_get(sentences, i))) return false;
    }
    return true;
}

void tei_similarity(exchange *e) {
    e->finish = finish_similarity;
    exchange_submit_if(e, read_similarity(e));
}

/* ---- Scores ---- */

static void write_prediction(const exchange *e, const item *one, text_buffer *out) {
    size_t count = e->width, *order = calloc(count + 1, sizeof *order);
    if (!order) {
        out->failed = true;
        return;
    }
    label_probabilities(e, one->values);
    if (!sort_by_value(one->values, count, order)) out->failed = true;
    text_add(out, "[", 1);
    for (size_t i = 0; i < (e->wish.top ? size_min(e->wish.top, count) : count); i++) {
        const char *label = label_name(e->model, order[i]);
        text_add_string(out, i ? ",{\"score\":" : "{\"score\":");
        text_add_float(out, one->values[order[i]]);
        text_add_string(out, ",\"label\":");
        text_add_json(out, label, strlen(label));
        text_add(out, "}", 1);
    }
    text_add(out, "]", 1);
    free(order);
}

static void finish_predict(exchange *e) {
    if (!e->wish.single) text_add(&e->answer, "[", 1);
    for (size_t i = 0; i < e->count; i++) {
        if (i) text_add(&e->answer, ",", 1);
        write_prediction(e, &e->items[i], &e->answer);
    }
    if (!e->wish.single) text_add(&e->answer, "]", 1);
}

/* "a": a text; ["a"]: a text; ["a", "b"]: a pair; [["a"], ["b", "c"]]: a batch. */
static bool take_pair(exchange *e, item *one, const json_t *value) {
    char name[ITEM_NAME];
    size_t count = json_array_size(value);
    if (json_is_string(value)) return take_text(e, one, value);
    if (json_is_array(value) && count == 0) return exchange_fail_empty(e, one);
    if (!json_is_array(value) || count > 2) {
        exchange_fail(e, 422, "Validation",
                      "Failed to deserialize the JSON body into the target type: `%s` should be a text, a pair of "
                      "texts, or a list of those: [[\"a text\"], [\"another\"]]",
                      item_name(one, name));
        return false;
    }
    return take_text(e, one, json_array_get(value, 0)) &&
           (count == 1 || take_string(e, one, json_array_get(value, 1), true));
}

static bool take_function(exchange *e, const json_t *parameters) {
    const char **how = &e->options.function_to_apply;
    if (!field_text(e, parameters, "function_to_apply", how)) return false;
    if (!*how || strcmp(*how, "sigmoid") == 0 || strcmp(*how, "softmax") == 0 || strcmp(*how, "none") == 0) return true;
    exchange_fail(e, 422, "Validation", "`function_to_apply` should be sigmoid, softmax or none");
    return false;
}

static bool read_predict(exchange *e) {
    const json_t *inputs = json_object_get(e->request, "inputs");
    bool batch = json_is_array(inputs) && json_is_array(json_array_get(inputs, 0));
    size_t count = batch ? json_array_size(inputs) : 1;
    if (!take_model(e, WORK_SCORES, NO_CLASSIFIER) || !take_options(e, e->request) ||
        !field_bool(e, e->request, "raw_scores", false, &e->wish.raw))
        return false;
    if (!check_batch(e, count, "inputs") || !exchange_make_items(e, count, score_width(e->model))) return false;
    /* Hugging Face's InferenceClient sends "parameters" and expects a list of lists */
    const json_t *parameters = json_object_get(e->request, "parameters");
    e->wish.single = !batch && !parameters;
    if (!field_count(e, parameters, "top_k", 0, &e->wish.top) || !take_function(e, parameters)) return false;
    if (!batch && json_array_size(inputs) == 2)
        e->wish.hint = "inputs was read as one pair of texts; two texts are [[\"a text\"], [\"another\"]]";
    for (size_t i = 0; i < count; i++) {
        if (!batch) place_item(&e->items[i], "inputs", WHOLE_FIELD);
        if (!take_pair(e, &e->items[i], batch ? json_array_get(inputs, i) : inputs)) return false;
    }
    return true;
}

void tei_predict(exchange *e) {
    if (json_object_get(parameters_of(e), "candidate_labels")) {
        zero_shot_predict(e);
        return;
    }
    e->finish = finish_predict;
    exchange_submit_if(e, read_predict(e));
}

static void finish_rerank(exchange *e) {
    size_t count;
    size_t *order = rank_documents(e, &count);
    if (!order) {
        e->answer.failed = true;
        return;
    }
    text_add(&e->answer, "[", 1);
    for (size_t i = 0; i < count; i++) {
        text_add_format(&e->answer, "%s{\"index\":%zu,\"score\":", i ? "," : "", order[i]);
        text_add_float(&e->answer, e->values[order[i]]);
        if (e->wish.return_text) {
            const json_t *text = json_array_get(e->wish.documents, order[i]);
            text_add_string(&e->answer, ",\"text\":");
            text_add_json(&e->answer, json_string_value(text), json_string_length(text));
        }
        text_add(&e->answer, "}", 1);
    }
    text_add(&e->answer, "]", 1);
    free(order);
}

static bool read_rerank(exchange *e) {
    json_t *texts = json_object_get(e->request, "texts");
    return take_ranker(e, NO_RERANKER) && take_options(e, e->request) && take_prompt(e, e->request) &&
           field_bool(e, e->request, "raw_scores", false, &e->wish.raw) &&
           field_bool(e, e->request, "return_text", false, &e->wish.return_text) && take_documents(e, texts, "texts");
}

void tei_rerank(exchange *e) {
    if (json_object_get(e->request, "documents")) {
        rank_rerank(e); /* Jina's dialect uses the same path */
        return;
    }
    e->finish = finish_rerank;
    exchange_submit_if(e, read_rerank(e));
}

/* ---- What needs no model run ---- */

/* The byte at which each code point begins, and the end. */
static size_t *byte_map(const char *text, size_t bytes, size_t *points) {
    size_t *map = malloc((bytes + 1) * sizeof *map);
    *points = 0;
    for (size_t at = 0; map && at < bytes;) {
        uint32_t code;
        map[(*points)++] = at;
        at += utf8_next((const unsigned char *)text + at, &code);
    }
    if (map) map[*points] = bytes;
    return map;
}

static bool write_tokens(exchange *e, const char *text, size_t bytes, bool no_special, text_buffer *out) {
    rubato_encoding *encoding;
    rubato_error error;
    rubato_input input = {.text = text, .text_bytes = bytes};
    rubato_text_options options = {.size = sizeof options, .whole = 1, .no_special = no_special};
    rubato_status status = rubato_encode(e->model->model, &input, &options, &encoding, &error);
    if (status != RUBATO_OK) {
        exchange_fail_with(e, status, &error);
        return false;
    }
    size_t points, *map = byte_map(text, bytes, &points);
    const rubato_window *window = &encoding->windows[0];
    text_add(out, "[", 1);
    for (size_t i = 0; i < window->length && map; i++) {
        bool special = window->sequences[i] == 255;
        size_t length, first = map[size_min(window->offsets[i][0], points)],
                       last = map[size_min(window->offsets[i][1], points)];
        const char *name = rubato_token(e->model->model, window->ids[i], &length);
        text_add_format(out, "%s{\"id\":%d,\"text\":", i ? "," : "", window->ids[i]);
        if (special)
            text_add_json(out, name ? name : "", name ? length : 0);
        else
            text_add_json(out, text + first, last - first);
        if (special)
            text_add_string(out, ",\"special\":true,\"start\":null,\"stop\":null}");
        else
            text_add_format(out, ",\"special\":false,\"start\":%zu,\"stop\":%zu}", first, last);
    }
    text_add(out, "]", 1);
    if (!map) out->failed = true;
    free(map);
    rubato_encoding_destroy(encoding);
    return true;
}

static bool read_tokenize(exchange *e) {
    const json_t *inputs = json_object_get(e->request, "inputs");
    bool special, list = json_is_array(inputs);
    size_t count = list ? json_array_size(inputs) : 1;
    if (!take_model(e, WORK_ANY, "there is no model") || !take_options(e, e->request) || !take_prompt(e, e->request) ||
        !field_bool(e, e->request, "add_special_tokens", true, &special) || !check_batch(e, count, "inputs"))
        return false;
    text_add(&e->answer, "[", 1);
    for (size_t i = 0; i < count; i++) {
        const json_t *text = list ? json_array_get(inputs, i) : inputs;
        if (!json_is_string(text)) {
            exchange_fail(e, 422, "Validation",
                          "Failed to deserialize the JSON body into the target type: `inputs` should be a string or "
                          "a list of strings");
            return false;
        }
        if (json_string_length(text) == 0) {
            const item one = {.field = "inputs", .index = list ? i : WHOLE_FIELD};
            return exchange_fail_empty(e, &one);
        }
        text_buffer whole = {0};
        if (prompt_of(e)) text_add_string(&whole, prompt_of(e));
        text_add(&whole, json_string_value(text), json_string_length(text));
        if (i) text_add(&e->answer, ",", 1);
        e->answer.failed = e->answer.failed || whole.failed;
        bool good = !whole.failed && write_tokens(e, whole.data, whole.length, !special, &e->answer);
        text_free(&whole);
        if (!good) return false;
    }
    text_add(&e->answer, "]", 1);
    return true;
}

void tei_tokenize(exchange *e) {
    read_tokenize(e);
    exchange_complete(e);
}

static bool read_decode(exchange *e) {
    const json_t *ids = json_object_get(e->request, "ids");
    bool skip, many = json_is_array(json_array_get(ids, 0));
    size_t count = many ? json_array_size(ids) : 1;
    if (!take_model(e, WORK_ANY, "there is no model") || !field_bool(e, e->request, "skip_special_tokens", true, &skip))
        return false;
    if (json_is_array(ids) && json_array_size(ids) == 0) return check_batch(e, 0, "ids");
    if (!check_batch(e, count, "ids")) return false;
    text_add(&e->answer, "[", 1);
    for (size_t i = 0; i < count; i++) {
        char *text, name[ITEM_NAME];
        const item one = {.field = "ids", .index = many ? i : WHOLE_FIELD};
        if (!decode_ids(e, many ? json_array_get(ids, i) : ids, item_name(&one, name), skip, &text)) return false;
        if (i) text_add(&e->answer, ",", 1);
        text_add_json(&e->answer, text, strlen(text));
        rubato_free(text);
    }
    text_add(&e->answer, "]", 1);
    return true;
}

void tei_decode(exchange *e) {
    read_decode(e);
    exchange_complete(e);
}
