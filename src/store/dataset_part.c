/* Parts of a data set that stand for the whole. */
#include <stdlib.h>

#include "base/hash.h"
#include "base/order.h"
#include "store/dataset.h"

/* The place of a row in the order of drawing. */
typedef struct drawn {
    uint64_t stratum, random;
    size_t row;
    double key;
} drawn;

static int by_stratum(const void *a, const void *b) {
    const drawn *x = a, *y = b;
    if (x->stratum != y->stratum) return x->stratum < y->stratum ? -1 : 1;
    if (x->random != y->random) return x->random < y->random ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static int by_key(const void *a, const void *b) {
    const drawn *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    if (x->random != y->random) return x->random < y->random ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static uint64_t label_hash(const example *item) {
    uint64_t hash = hash_text(0, item->label);
    for (size_t i = 0; i < item->label_count; i++) hash = hash_text(hash, item->labels[i]);
    return hash;
}

/* Draws rows in an order of which every beginning has the labels in the proportions of the whole: row r of a stratum of
 * n rows gets the key (r + u) / n with one random u for each stratum, and the first row of every stratum comes first.
 */
static void draw_order(const dataset *data, uint64_t seed, drawn *order) {
    for (size_t i = 0; i < data->count; i++) {
        uint64_t stratum = label_hash(&data->items[i]);
        order[i] = (drawn){stratum, random_hash(random_hash(seed) ^ i), i, 0};
    }
    qsort(order, data->count, sizeof *order, by_stratum);
    for (size_t first = 0, end; first < data->count; first = end) {
        end = first + 1;
        while (end < data->count && order[end].stratum == order[first].stratum) end++;
        uint64_t state = seed ^ order[first].stratum;
        double offset = random_real(&state);
        for (size_t i = first + 1; i < end; i++) order[i].key = ((double)(i - first) + offset) / (double)(end - first);
    }
    qsort(order, data->count, sizeof *order, by_key);
}

rubato_status dataset_sample(dataset *data, size_t limit, uint64_t seed, rubato_error *error) {
    if (limit == 0 || limit >= data->count) return RUBATO_OK;
    drawn *order = malloc(data->count * sizeof *order);
    bool *taken = calloc(data->count, sizeof *taken);
    rubato_status status = order && taken ? RUBATO_OK : fail_memory(error);
    if (status == RUBATO_OK) {
        draw_order(data, seed, order);
        for (size_t i = 0; i < limit; i++) taken[order[i].row] = true;
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
