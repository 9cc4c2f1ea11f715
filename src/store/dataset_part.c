/* Parts of a data set that stand for the whole. */
#include <stdlib.h>

#include "base/hash.h"
#include "store/dataset.h"

/* The place of a unit, a row or a document, in the order of drawing. */
typedef struct drawn {
    uint64_t stratum, random;
    size_t first; /* the unit's first row */
    double key;
} drawn;

static int by_stratum(const void *a, const void *b) {
    const drawn *x = a, *y = b;
    if (x->stratum != y->stratum) return x->stratum < y->stratum ? -1 : 1;
    if (x->random != y->random) return x->random < y->random ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

static int by_key(const void *a, const void *b) {
    const drawn *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    if (x->random != y->random) return x->random < y->random ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

static uint64_t label_hash(const example *item) {
    uint64_t hash = hash_text(0, item->label);
    for (size_t i = 0; i < item->label_count; i++) hash = hash_text(hash, item->labels[i]);
    return hash;
}

/* Sorts units so that every beginning has the strata in the proportions of the whole: unit r of a stratum of n units
 * gets the key (r + u) / n with one random u for each stratum, and the first unit of every stratum comes first. */
static void draw_order(drawn *order, size_t count, uint64_t seed) {
    qsort(order, count, sizeof *order, by_stratum);
    for (size_t first = 0, end; first < count; first = end) {
        end = first + 1;
        while (end < count && order[end].stratum == order[first].stratum) end++;
        uint64_t state = seed ^ order[first].stratum;
        double offset = random_real(&state);
        for (size_t i = first + 1; i < end; i++) order[i].key = ((double)(i - first) + offset) / (double)(end - first);
    }
    qsort(order, count, sizeof *order, by_key);
}

rubato_status dataset_sample(dataset *data, size_t limit, uint64_t seed, rubato_error *error) {
    if (limit == 0 || limit >= data->count) return RUBATO_OK;
    drawn *order = malloc(data->count * sizeof *order);
    bool *taken = calloc(data->count, sizeof *taken);
    rubato_status status = order && taken ? RUBATO_OK : fail_memory(error);
    if (status == RUBATO_OK) {
        for (size_t i = 0; i < data->count; i++)
            order[i] = (drawn){label_hash(&data->items[i]), random_hash(random_hash(seed) ^ i), i, 0};
        draw_order(order, data->count, seed);
        for (size_t i = 0; i < limit; i++) taken[order[i].first] = true;
        size_t kept = 0;
        for (size_t i = 0; i < data->count; i++) {
            if (taken[i])
                data->items[kept++] = data->items[i];
            else
                example_free(&data->items[i]);
        }
        data->count = kept;
    }
    free(order);
    free(taken);
    return status;
}

/* The document of a row. */
static uint64_t document_hash(const example *item) {
    uint64_t hash = 0;
    if (item->answers) return hash_text(0, item->pair);
    if (!item->word_count) return hash_text(0, item->text);
    for (size_t i = 0; i < item->word_count; i++) hash = hash_text(hash, item->words[i]);
    return hash;
}

typedef struct member {
    uint64_t document;
    size_t row;
} member;

static int by_document(const void *a, const void *b) {
    const member *x = a, *y = b;
    if (x->document != y->document) return x->document < y->document ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

rubato_status dataset_divide(dataset *data, dataset *rest, double share, rubato_error *error) {
    size_t count = data->count, units = 0, moved = 0, kept = 0;
    *rest = (dataset){0};
    if (count == 0) return RUBATO_OK;
    member *rows = malloc(count * sizeof *rows); /* sorted by document */
    drawn *order = malloc(count * sizeof *order);
    bool *goes = calloc(count, sizeof *goes);
    example *items = malloc(count * sizeof *items);
    rubato_status status = rows && order && goes && items ? RUBATO_OK : fail_memory(error);
    if (status == RUBATO_OK) {
        for (size_t i = 0; i < count; i++) rows[i] = (member){document_hash(&data->items[i]), i};
        qsort(rows, count, sizeof *rows, by_document);
        for (size_t i = 0; i < count; i++)
            if (i == 0 || rows[i].document != rows[i - 1].document)
                order[units++] = (drawn){label_hash(&data->items[rows[i].row]), random_hash(rows[i].document), i, 0};
        draw_order(order, units, 0);
        for (size_t u = 0; u < units && (double)moved < share * (double)count; u++)
            for (size_t i = order[u].first; i < count && rows[i].document == rows[order[u].first].document; i++) {
                goes[rows[i].row] = true;
                moved++;
            }
        for (size_t i = 0; i < count; i++) {
            if (goes[i])
                items[rest->count++] = data->items[i];
            else
                data->items[kept++] = data->items[i];
        }
        data->count = kept;
        rest->items = items;
        rest->capacity = count;
        items = NULL;
    }
    free(rows);
    free(order);
    free(goes);
    free(items);
    return status;
}

static int by_value(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

rubato_status dataset_remove_shared(dataset *data, const dataset *other, rubato_error *error) {
    size_t kept = 0;
    uint64_t *documents = malloc((other->count + 1) * sizeof *documents);
    if (!documents) return fail_memory(error);
    for (size_t i = 0; i < other->count; i++) documents[i] = document_hash(&other->items[i]);
    qsort(documents, other->count, sizeof *documents, by_value);
    for (size_t i = 0; i < data->count; i++) {
        uint64_t own = document_hash(&data->items[i]);
        if (bsearch(&own, documents, other->count, sizeof *documents, by_value))
            example_free(&data->items[i]);
        else
            data->items[kept++] = data->items[i];
    }
    data->count = kept;
    free(documents);
    return RUBATO_OK;
}

uint64_t dataset_hash(const dataset *data) {
    uint64_t hash = 0;
    for (size_t i = 0; i < data->count; i++) {
        const example *item = &data->items[i];
        hash = hash_text(hash_text(hash_text(hash, item->text), item->pair), item->label);
        for (size_t j = 0; j < item->label_count; j++) hash = hash_text(hash, item->labels[j]);
        for (size_t j = 0; j < item->answer_count; j++)
            hash = random_hash(hash_text(hash, item->answers[j]) ^ item->answer_starts[j]);
        for (size_t j = 0; j < item->word_count; j++) hash = hash_text(hash_text(hash, item->words[j]), item->tags[j]);
        hash = random_hash(hash);
    }
    return hash;
}
