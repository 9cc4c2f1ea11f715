/* Measuring a frontier on held-out data. */
#include "search/telling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "task/costs.h"

enum { FOLDS = 8, LEAST = 4 }; /* LEAST: examples for two folds */

static const double BEYOND_NOISE = 2; /* standard errors */

/* What the told data say of a point. */
typedef struct account {
    double quality, error;
    double by_fold[FOLDS]; /* its quality on each part of the data; all 0 without parts */
    double flops, flops_error;
} account;

typedef struct telling {
    judging *judge;
    const dataset *data;
    bool sure;    /* no point was chosen on the data, and they are enough for a standard error */
    size_t folds; /* 0: the comparison of points needs none */
} telling;

static double deviation(const double *values, size_t count) {
    double mean = 0, squares = 0;
    for (size_t i = 0; i < count; i++) mean += values[i] / (double)count;
    for (size_t i = 0; i < count; i++) squares += (values[i] - mean) * (values[i] - mean);
    return sqrt(squares / (double)(count - 1));
}

/* The ratio of two sums over texts, and its standard error. */
static void take_flops(account *out, const rubato_costs *costs) {
    double spent = 0, full = 0, squares = 0, n = (double)costs->count;
    for (size_t i = 0; i < costs->count; i++) {
        spent += costs->items[i].flops;
        full += costs->items[i].full_flops;
    }
    out->flops = spent / full;
    for (size_t i = 0; i < costs->count; i++) {
        double off = costs->items[i].flops - out->flops * costs->items[i].full_flops;
        squares += off * off;
    }
    out->flops_error = n > 1 ? sqrt(squares * n / (n - 1)) / full : 0;
}

/* The standard error of an accuracy is the binomial's; that of another metric comes from the folds. */
static void take_error(account *out, const telling *t) {
    double q = out->quality, n = (double)t->data->count;
    out->error = NAN;
    if (t->sure && strcmp(t->judge->metric, "accuracy") == 0) out->error = sqrt(fmax(q * (1 - q), 1 / n) / n);
    if (t->folds) out->error = deviation(out->by_fold, t->folds) / sqrt((double)t->folds);
}

static rubato_status tell(const telling *t, point *at, account *out, rubato_error *error) {
    judging *judge = t->judge;
    rubato_evaluation *result;
    rubato_costs *costs;
    *out = (account){0};
    TRY(judging_measure(judge, at, t->data, &result, &costs, error));
    out->quality = evaluation_main(result, judge->metric, sizeof judge->metric);
    rubato_free(result);
    take_flops(out, costs);
    if (!at->exit.rule) out->flops_error = 0;
    rubato_free(costs);
    for (size_t i = 0; i < t->folds; i++) {
        size_t first = i * t->data->count / t->folds, end = (i + 1) * t->data->count / t->folds;
        dataset fold = {.items = t->data->items + first, .count = end - first};
        point same = *at;
        char metric[sizeof judge->metric];
        TRY(judging_measure(judge, &same, &fold, &result, NULL, error));
        out->by_fold[i] = evaluation_main(result, metric, sizeof metric);
        rubato_free(result);
    }
    take_error(out, t);
    return RUBATO_OK;
}

/* Whether a dearer point is better beyond noise: by more than two standard errors of the difference. For classification
 * by the share of texts that get the full model's label, and then its told quality is higher too; else by the folds. */
static bool is_better(const telling *t, const candidate *dear, const account *a, const candidate *cheap,
                      const account *b) {
    double differences[FOLDS], mean = 0;
    if (t->judge->reference) {
        double noise = sqrt((2 - dear->quality - cheap->quality) / (double)t->judge->data.count);
        return dear->quality - cheap->quality > BEYOND_NOISE * noise && a->quality > b->quality;
    }
    if (t->folds == 0) return a->quality > b->quality;
    for (size_t i = 0; i < t->folds; i++) {
        differences[i] = a->by_fold[i] - b->by_fold[i];
        mean += differences[i] / (double)t->folds;
    }
    return mean > BEYOND_NOISE * deviation(differences, t->folds) / sqrt((double)t->folds);
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The share of the most frequent label; 0 for another task. */
static rubato_status find_baseline(const telling *t, double *out, rubato_error *error) {
    const dataset *data = t->data;
    *out = 0;
    if (!t->judge->reference) return RUBATO_OK;
    const char **labels = malloc((data->count + 1) * sizeof *labels);
    if (!labels) return fail_memory(error);
    for (size_t i = 0; i < data->count; i++) labels[i] = data->items[i].label ? data->items[i].label : "";
    qsort(labels, data->count, sizeof *labels, by_text);
    for (size_t i = 0, first = 0; i < data->count; i++) {
        if (strcmp(labels[i], labels[first]) != 0) first = i;
        *out = fmax(*out, (double)(i + 1 - first) / (double)data->count);
    }
    free(labels);
    return RUBATO_OK;
}

rubato_status tell_frontier(judging *judge, const candidate *found, size_t count, frontier *out,
                            bool (*told)(void *user), void *user, rubato_error *error) {
    bool apart = judge->told.count > 0;
    telling t = {.judge = judge, .data = apart ? &judge->told : &judge->data};
    t.sure = apart && t.data->count >= LEAST;
    if (t.sure && !judge->reference) t.folds = size_min(FOLDS, t.data->count / 2);
    point full = point_full(judge->model->body.depth);
    account whole, last = {0};
    const candidate *before = NULL;
    double baseline;
    TRY(find_baseline(&t, &baseline, error));
    TRY(tell(&t, &full, &whole, error));
    out->full = whole.quality;
    out->full_error = whole.error;
    out->held_out = apart ? t.data->count : 0;
    for (size_t i = 0; i < count; i++) {
        point *p = &out->points[out->count];
        account now;
        *p = found[i].gene;
        if (point_is_full(p) && !p->low) continue;
        TRY(tell(&t, p, &now, error));
        bool useless = baseline > 0 && now.quality <= baseline + (isnan(now.error) ? 0 : now.error);
        if (!useless && (!before || is_better(&t, &found[i], &now, before, &last))) {
            p->quality = now.quality;
            p->quality_error = now.error;
            p->flops_ratio = now.flops;
            p->flops_error = now.flops_error;
            before = &found[i];
            last = now;
            out->count++;
        }
        if (told && !told(user)) break;
    }
    return RUBATO_OK;
}
