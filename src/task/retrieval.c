/* Retrieval: every query against every document, by dot product of their vectors. */
#include "task/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/order.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text_buffer.h"
#include "store/dataset.h"
#include "task/context.h"
#include "task/costs.h"

enum { DEPTH = 100, PATH_BYTES = 4096 };

typedef struct named {
    const char *id;
    size_t index;
} named;

/* Documents or queries with their vectors; `by_id` is sorted. */
typedef struct collection {
    dataset data; /* label: the id, pair: the title */
    float *vectors;
    named *by_id;
} collection;

static void collection_free(collection *c) {
    dataset_free(&c->data);
    free(c->vectors);
    free(c->by_id);
}

static int by_id(const void *a, const void *b) {
    return strcmp(((const named *)a)->id, ((const named *)b)->id);
}

static size_t find_id(const collection *c, const char *id) {
    named key = {id, 0};
    const named *found = c->data.count ? bsearch(&key, c->by_id, c->data.count, sizeof key, by_id) : NULL;
    return found ? found->index : SIZE_MAX;
}

/* Joins title and text, unless the text begins with the title. */
static bool join_title(const example *item, text_buffer *out) {
    bool titled = item->pair && *item->pair && strncmp(item->text, item->pair, strlen(item->pair)) != 0;
    if (titled) text_add_format(out, "%s ", item->pair);
    text_add_string(out, item->text);
    return !out->failed;
}

static rubato_status embed_collection(collection *c, rubato_context *context, const char *path,
                                      const rubato_options *options, rubato_costs **costs, rubato_error *error) {
    size_t count = c->data.count;
    rubato_input *inputs = calloc(count + 1, sizeof *inputs);
    text_buffer *joined = calloc(count + 1, sizeof *joined);
    c->by_id = calloc(count + 1, sizeof *c->by_id);
    c->vectors = malloc((count + 1) * context->model->pool.width * sizeof *c->vectors);
    rubato_status status = inputs && joined && c->by_id && c->vectors ? RUBATO_OK : fail_memory(error);
    for (size_t i = 0; i < count && status == RUBATO_OK; i++) {
        const example *item = &c->data.items[i];
        if (!item->label)
            status = fail_line(error, RUBATO_BAD_DATA, item->line, "%s:%zu: no \"_id\"", path, item->line);
        else if (!join_title(item, &joined[i]))
            status = fail_memory(error);
        c->by_id[i] = (named){item->label, i};
        inputs[i] = (rubato_input){.text = joined[i].data ? joined[i].data : "", .text_bytes = joined[i].length};
    }
    if (status == RUBATO_OK) {
        qsort(c->by_id, count, sizeof *c->by_id, by_id);
        status = rubato_embed(context, c->vectors, inputs, count, options, costs, error);
    }
    for (size_t i = 0; joined && i < count; i++) text_free(&joined[i]);
    free(joined);
    free(inputs);
    return status;
}

static rubato_status read_collection(collection *c, const char *folder, const char *name, const char *columns,
                                     size_t limit, char *path, rubato_error *error) {
    if ((size_t)snprintf(path, PATH_BYTES, "%s/%s", folder, name) >= PATH_BYTES)
        return fail(error, RUBATO_BAD_ARGUMENT, "%.200s...: path too long", folder);
    TRY(dataset_read(&c->data, path, DATASET_TEXTS, columns, error));
    return dataset_sample(&c->data, limit, 0, error);
}

/* relevant[query * documents + document], from query-id, corpus-id and a score above 0. */
static rubato_status read_judgements(unsigned char *relevant, const collection *queries, const collection *corpus,
                                     const char *folder, rubato_error *error) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%.4000s/qrels.tsv", folder);
    if (!file_exists(path)) snprintf(path, sizeof path, "%.4000s/qrels/test.tsv", folder);
    dataset rows;
    rubato_status status = dataset_read(&rows, path, DATASET_TEXTS, "text=query-id,pair=corpus-id,label=score", error);
    if (status == RUBATO_OUT_OF_MEMORY) return status;
    if (status != RUBATO_OK) /* other collections have a column of another name */
        TRY(dataset_read(&rows, path, DATASET_TEXTS, "text=query-id,pair=corpus-id,label=code", error));
    size_t used = 0;
    for (size_t i = 0; i < rows.count; i++) {
        size_t query = find_id(queries, rows.items[i].text), document = find_id(corpus, rows.items[i].pair);
        if (query == SIZE_MAX || document == SIZE_MAX || !(strtod(rows.items[i].label, NULL) > 0)) continue;
        relevant[query * corpus->data.count + document] = 1;
        used++;
    }
    dataset_free(&rows);
    return used ? RUBATO_OK
                : fail(error, RUBATO_BAD_DATA,
                       "%s: no row names a query and a document of this collection with a score above 0", path);
}

static int by_ms(const void *a, const void *b) {
    double x = ((const rubato_cost *)a)->ms, y = ((const rubato_cost *)b)->ms;
    return x < y ? -1 : x > y;
}

/* The smallest sorted value that at least this share of the values does not exceed. */
static double percentile(const rubato_cost *sorted, size_t count, double share) {
    size_t rank = (size_t)ceil(share * (double)count);
    return sorted[size_min(size_max(rank, 1), count) - 1].ms;
}

rubato_status cost_percentiles(rubato_evaluation *out, rubato_cost *costs, size_t count, rubato_error *error) {
    if (count == 0) return RUBATO_OK;
    double *ratios = malloc(count * sizeof *ratios);
    if (!ratios) return fail_memory(error);
    for (size_t i = 0; i < count; i++) ratios[i] = costs[i].flops_ratio;
    sort_doubles(ratios, count);
    out->flops_ratio_p95 = ratios[(size_t)(0.95 * (double)(count - 1) + 0.5)];
    free(ratios);
    qsort(costs, count, sizeof *costs, by_ms);
    out->ms_p50 = percentile(costs, count, 0.50);
    out->ms_p95 = percentile(costs, count, 0.95);
    out->ms_p99 = percentile(costs, count, 0.99);
    return RUBATO_OK;
}

typedef struct ranking {
    double ndcg, reciprocal, recall;
    size_t queries;
} ranking;

static void score_query(ranking *sums, const unsigned char *relevant, size_t documents, const size_t *found,
                        size_t count) {
    size_t total = 0, hits = 0;
    double gain = 0, ideal = 0, reciprocal = 0;
    for (size_t i = 0; i < documents; i++) total += relevant[i];
    if (total == 0) return;
    for (size_t i = 0; i < count; i++) {
        if (!relevant[found[i]]) continue;
        hits++;
        if (i < 10) gain += 1 / log2((double)i + 2);
        if (i < 10 && reciprocal == 0) reciprocal = 1 / ((double)i + 1);
    }
    for (size_t i = 0; i < size_min(total, 10); i++) ideal += 1 / log2((double)i + 2);
    sums->ndcg += gain / ideal;
    sums->reciprocal += reciprocal;
    sums->recall += (double)hits / (double)total;
    sums->queries++;
}

rubato_status evaluate_retrieval(rubato_context *context, const rubato_eval_options *options, evaluation *out,
                                 rubato_error *error) {
    collection corpus = {0}, queries = {0};
    unsigned char *relevant = NULL;
    rubato_costs *costs = NULL;
    char path[PATH_BYTES];
    double begin = clock_ms();
    size_t width = context->model->pool.width, documents = 0;
    rubato_status status;
    TRY_DONE(read_collection(&corpus, options->data, "corpus.jsonl", "text=text,pair=title,label=_id", 0, path, error));
    documents = corpus.data.count;
    TRY_DONE(embed_collection(&corpus, context, path, options->run, &costs, error));
    TRY_DONE(
        read_collection(&queries, options->data, "queries.jsonl", "text=text,label=_id", options->limit, path, error));
    TRY_DONE(embed_collection(&queries, context, path, options->run, NULL, error));
    relevant = calloc(size_max(documents * queries.data.count, 1), 1);
    if (!relevant) {
        status = fail_memory(error);
        goto done;
    }
    TRY_DONE(read_judgements(relevant, &queries, &corpus, options->data, error));
    ranking sums = {0};
    for (size_t i = 0; i < queries.data.count; i++) {
        size_t found[DEPTH];
        float scores[DEPTH];
        size_t count = rubato_nearest(context, queries.vectors + i * width, corpus.vectors, documents, width, DEPTH,
                                      found, scores);
        score_query(&sums, relevant + i * documents, documents, found, count);
    }
    double n = (double)size_max(sums.queries, 1), rows = 0, ms = 0, flops = 0, full = 0;
    for (size_t i = 0; i < documents; i++) {
        rows += (double)costs->items[i].tokens;
        ms += costs->items[i].ms;
        flops += costs->items[i].flops;
        full += costs->items[i].full_flops;
    }
    const rubato_metric metrics[] = {
        {"ndcg@10", sums.ndcg / n}, {"mrr@10", sums.reciprocal / n}, {"recall@100", sums.recall / n}};
    memcpy(out->metrics, metrics, sizeof metrics);
    out->is.examples = sums.queries;
    out->is.metric_count = sizeof metrics / sizeof metrics[0];
    out->is.flops_ratio = full > 0 ? flops / full : 1;
    out->is.ms_mean = documents ? ms / (double)documents : 0;
    out->is.tokens_per_second = rows / ((clock_ms() - begin) / 1e3);
    status = cost_percentiles(&out->is, costs->items, documents, error);
done:
    collection_free(&corpus);
    collection_free(&queries);
    free(relevant);
    rubato_free(costs);
    return status;
}
