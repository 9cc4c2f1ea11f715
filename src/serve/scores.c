/* Embeddings, probabilities, orders. */
#include "serve/scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "serve/fields.h"
#include "serve/server.h"

/* ---- Embeddings ---- */

bool check_dimensions(exchange *e) {
    size_t wished = e->wish.dimensions, width = e->model->info->width;
    const json_t *given = json_object_get(e->request, "dimensions");
    if (!given || json_is_null(given) || (wished > 0 && wished <= width)) return true;
    exchange_fail(e, 422, "Validation", "Input validation error: `dimensions` should be from 1 to %zu", width);
    return false;
}

static void normalise(float *values, size_t width) {
    double sum = 0;
    for (size_t i = 0; i < width; i++) sum += (double)values[i] * (double)values[i];
    double scale = 1 / fmax(sqrt(sum), 1e-12);
    for (size_t i = 0; i < width; i++) values[i] = (float)((double)values[i] * scale);
}

size_t embedding_shape(exchange *e) {
    size_t width = e->wish.dimensions ? e->wish.dimensions : e->model->info->width;
    for (size_t i = 0; i < e->count && e->wish.normalize; i++) normalise(e->items[i].values, width);
    return width;
}

float cosine(const float *a, const float *b, size_t width) {
    double dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < width; i++) {
        dot += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return (float)(dot / fmax(sqrt(aa * bb), 1e-12));
}

/* ---- Labels ---- */

size_t score_width(const hosted *model) {
    if (model->info->task == RUBATO_TASK_NSP) return 2;
    return model->info->label_count ? model->info->label_count : 1;
}

const char *label_name(const hosted *model, size_t label) {
    static const char *const next[] = {"isNext", "notNext"};
    if (model->info->label_count > label) return model->info->labels[label];
    return model->info->task == RUBATO_TASK_NSP && label < 2 ? next[label] : "LABEL_0";
}

static float sigmoid(float x) {
    return 1 / (1 + expf(-x));
}

void label_probabilities(const exchange *e, float *logits) {
    size_t count = e->width;
    const char *how = e->options.function_to_apply;
    bool independent = how ? strcmp(how, "sigmoid") == 0 : count == 1 || e->model->info->multi_label;
    if (e->wish.raw || (how ? strcmp(how, "none") == 0 : e->model->info->plain_value)) return;
    if (independent) {
        for (size_t i = 0; i < count; i++) logits[i] = sigmoid(logits[i]);
        return;
    }
    float most = logits[0];
    double sum = 0;
    for (size_t i = 1; i < count; i++) most = fmaxf(most, logits[i]);
    for (size_t i = 0; i < count; i++) sum += exp((double)(logits[i] - most));
    for (size_t i = 0; i < count; i++) logits[i] = (float)(exp((double)(logits[i] - most)) / sum);
}

typedef struct ranked {
    float value;
    size_t index;
} ranked;

static int by_value(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->value != y->value) return x->value > y->value ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

bool sort_by_value(const float *values, size_t count, size_t *order) {
    ranked few[64], *all = count <= 64 ? few : malloc(count * sizeof *all);
    for (size_t i = 0; i < count; i++) {
        order[i] = i;
        if (all) all[i] = (ranked){values[i], i};
    }
    if (!all) return false;
    qsort(all, count, sizeof *all, by_value);
    for (size_t i = 0; i < count; i++) order[i] = all[i].index;
    if (all != few) free(all);
    return true;
}

/* ---- Ranking ---- */

/* The text that a cross-encoder reads first: the query after the prompt. */
static bool make_query(exchange *e, const json_t *query, size_t bytes) {
    const char *prompt = prompt_of(e);
    if (prompt) text_add_string(&e->query, prompt);
    text_add(&e->query, json_string_value(query), bytes);
    if (e->query.failed) exchange_fail(e, 503, "Unhealthy", "out of memory");
    return !e->query.failed;
}

bool take_documents(exchange *e, json_t *documents, const char *key) {
    const json_t *query = json_object_get(e->request, "query");
    size_t count = json_array_size(documents),
           extra = e->kind == WORK_EMBED; /* for embeddings the query is an item of its own */
    if (!json_is_string(query) || !json_is_array(documents)) {
        exchange_fail(e, 422, "Validation",
                      "Failed to deserialize the JSON body into the target type: `query` should be a string and `%s` "
                      "a list",
                      key);
        return false;
    }
    if (!check_batch(e, count, key)) return false;
    if (!exchange_make_items(e, count + extra, extra ? e->model->info->width : score_width(e->model))) return false;
    e->wish.documents = documents;
    if (extra) place_item(&e->items[count], "query", WHOLE_FIELD);
    if (extra && !take_string(e, &e->items[count], query, false)) return false;
    for (size_t i = 0; i < count; i++) {
        item *one = &e->items[i];
        place_item(one, key, i);
        if (!extra && !take_string(e, one, query, false)) return false;
        if (!extra && !e->query.data && !make_query(e, query, one->input.text_bytes)) return false;
        if (!take_string(e, one, json_array_get(documents, i), !extra)) return false;
        if (extra) continue;
        if (json_string_length(query) == 0 && one->input.pair_bytes == 0) return exchange_fail_empty(e, one);
        one->input.text = e->query.data ? e->query.data : "";
        one->input.text_bytes = e->query.length;
    }
    return true;
}

size_t *rank_documents(exchange *e, size_t *count) {
    size_t all = json_array_size(e->wish.documents);
    size_t *order = malloc((all + 1) * sizeof *order);
    if (!order) return NULL;
    bool vectors = e->kind == WORK_EMBED;
    for (size_t i = 0; i < all; i++) {
        const float *values = e->items[i].values; /* from i * width on: never before values[i] */
        e->values[i] = vectors ? cosine(e->items[all].values, values, e->width) : values[0];
    }
    if (!vectors && !e->wish.raw) rubato_rank_scores(e->model->context, e->values, all);
    if (!sort_by_value(e->values, all, order)) {
        free(order);
        return NULL;
    }
    *count = e->wish.top ? size_min(e->wish.top, all) : all;
    return order;
}
