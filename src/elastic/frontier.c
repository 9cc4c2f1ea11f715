/* Frontiers and budgets. */
#include "elastic/frontier.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum { MOST_POINTS = 4096 };

/* A budget is kept up to this factor: it is refused where the cheapest point costs more, and a point with exits is
 * taken only if its expected cost with a standard error is not more. */
#define BUDGET_SLACK 1.02

static const char *const significance_names[] = {"received", "others", "random", "first"};

bool significance_find(significance *out, const char *name) {
    for (size_t i = 0; i < sizeof significance_names / sizeof *significance_names; i++)
        if (strcmp(significance_names[i], name) == 0) {
            *out = (significance)i;
            return true;
        }
    return false;
}

void frontier_free(frontier *self) {
    free(self->points);
    *self = (frontier){0};
}

/* ---- rubato.json ---- */

/* One number for each layer, each in (0, 1] or, with `zero`, in [0, 1]; all 1 where the member is missing. */
static rubato_status read_parts(float *out, const json_t *object, const char *key, size_t layers, bool zero,
                                const char *name, rubato_error *error) {
    const json_t *list;
    TRY(json_get_list(&list, object, key, error));
    if (!list) return RUBATO_OK;
    if (json_array_size(list) != layers)
        return fail(error, RUBATO_BAD_MODEL, "rubato.json: point \"%s\" has %s for %zu layers, the model %zu", name,
                    key, json_array_size(list), layers);
    for (size_t i = 0; i < layers; i++) {
        const json_t *item = json_array_get(list, i);
        double value = json_is_number(item) ? json_number_value(item) : NAN;
        if (!(value <= 1 && (value > 0 || (zero && value == 0))))
            return fail(error, RUBATO_BAD_MODEL, "rubato.json: point \"%s\", %s of layer %zu: %g", name, key, i, value);
        out[i] = (float)value;
    }
    return RUBATO_OK;
}

static rubato_status read_count(uint32_t *out, const json_t *object, const char *key, rubato_error *error) {
    size_t value;
    TRY(json_get_size(&value, object, key, 0, error));
    if (value > 1 << 20) return fail(error, RUBATO_BAD_MODEL, "rubato.json: exit's %s is %zu", key, value);
    *out = (uint32_t)value;
    return RUBATO_OK;
}

rubato_status exit_setting_read(exit_setting *out, const json_t *object, rubato_error *error) {
    const char *rule;
    char known[128];
    double threshold;
    *out = (exit_setting){0};
    TRY(json_get_text(&rule, object, "rule", "", error));
    TRY(json_get_real(&threshold, object, "threshold", 0, error));
    TRY(read_count(&out->patience, object, "patience", error));
    TRY(read_count(&out->first, object, "first", error));
    TRY(read_count(&out->window, object, "window", error));
    const char *unit;
    TRY(json_get_text(&unit, object, "unit", "sequence", error));
    out->by_token = strcmp(unit, "token") == 0;
    if (!out->by_token && strcmp(unit, "sequence") != 0)
        return fail(error, RUBATO_UNSUPPORTED, "rubato.json: an exit's unit \"%.40s\"; use sequence or token", unit);
    exit_rule_list(known, sizeof known);
    out->rule = exit_rule_find(rule);
    out->threshold = (float)threshold;
    return out->rule ? RUBATO_OK
                     : fail(error, RUBATO_UNSUPPORTED, "rubato.json: exit rule \"%.40s\"; known are %s", rule, known);
}

json_t *exit_setting_object(const exit_setting *from) {
    json_t *object = json_object();
    json_put(&object, "rule", json_string(from->rule->name));
    if (from->rule->threshold) json_put(&object, "threshold", json_real(round((double)from->threshold * 1e6) / 1e6));
    if (from->rule->counts) json_put(&object, "patience", json_integer(from->patience));
    if (from->first > 1) json_put(&object, "first", json_integer(from->first));
    if (from->by_token) json_put(&object, "unit", json_string("token"));
    if (from->window) json_put(&object, "window", json_integer(from->window));
    return object;
}

/* The layers whose rows merge, counted from 1. */
static rubato_status read_merges(point *out, const json_t *object, rubato_error *error) {
    const json_t *list;
    TRY(json_get_list(&list, object, "merge", error));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        json_int_t layer = json_integer_value(item);
        if (layer < 1 || layer > (json_int_t)out->layers)
            return fail(error, RUBATO_BAD_MODEL, "rubato.json: point \"%s\" merges rows in a layer that is none of %zu",
                        out->name, out->layers);
        out->merge[layer - 1] = true;
    }
    return RUBATO_OK;
}

rubato_status point_read(point *out, const json_t *object, size_t layers, rubato_error *error) {
    const json_t *keep = json_object_get(object, "keep");
    const char *name, *low;
    *out = point_full(layers);
    TRY(json_get_text(&name, object, "name", "", error));
    snprintf(out->name, sizeof out->name, "%s", name);
    TRY(json_get_text(&low, object, "precision", NULL, error));
    out->low = low != NULL;
    if (low && strcmp(low, "int8") != 0 && strcmp(low, "bf16") != 0)
        return fail(error, RUBATO_UNSUPPORTED, "rubato.json: point \"%s\" in precision \"%.40s\"", out->name, low);
    TRY(json_get_real(&out->quality, object, "quality", NAN, error));
    TRY(json_get_real(&out->quality_error, object, "quality_error", NAN, error));
    TRY(json_get_real(&out->flops_error, object, "flops_error", 0, error));
    TRY(json_get_real(&out->flops_ratio, object, "flops_ratio", 1, error));
    TRY(json_get_real(&out->ms, object, "ms", NAN, error));
    const json_t *leaving;
    TRY(json_get_object(&leaving, object, "exit", error));
    if (leaving) TRY(exit_setting_read(&out->exit, leaving, error));
    TRY(read_parts(out->heads, object, "heads", layers, false, out->name, error));
    TRY(read_parts(out->neurons, object, "neurons", layers, false, out->name, error));
    TRY(read_parts(out->memory, object, "memory", layers, true, out->name, error));
    TRY(read_parts(out->selected, object, "selected", layers, false, out->name, error));
    TRY(read_parts(out->alive, object, "alive", layers, true, out->name, error));
    TRY(read_parts(out->present, object, "present", layers, true, out->name, error));
    if (json_array_size(keep) != layers)
        return fail(error, RUBATO_BAD_MODEL, "rubato.json: point \"%s\" has %zu layers, the model %zu", out->name,
                    json_array_size(keep), layers);
    for (size_t i = 0; i < layers; i++) {
        const json_t *item = json_array_get(keep, i);
        double value = json_is_number(item) ? json_number_value(item) : NAN;
        out->skip[i] = json_is_null(item);
        out->keep[i] = out->skip[i] ? 1 : (float)value;
        if (!out->skip[i] && !(value > 0 && value <= 1))
            return fail(error, RUBATO_BAD_MODEL, "rubato.json: point \"%s\" keeps %g of layer %zu", out->name, value,
                        i);
    }
    TRY(read_merges(out, object, error));
    for (size_t i = 0; i < layers && out->exit.by_token; i++)
        if (out->keep[i] < 1 || out->merge[i])
            return fail(error, RUBATO_UNSUPPORTED, "rubato.json: in point \"%s\" tokens both retire and leave early",
                        out->name);
    return RUBATO_OK;
}

static int by_flops(const void *a, const void *b) {
    double x = ((const point *)a)->flops_ratio, y = ((const point *)b)->flops_ratio;
    return x < y ? -1 : x > y;
}

static int by_ms(const void *a, const void *b) {
    double x = ((const point *)a)->ms, y = ((const point *)b)->ms;
    return x < y ? -1 : x > y;
}

/* Rising cost: operations, or time where points differ in precision. */
static void sort(frontier *self) {
    bool low = false, timed = true;
    for (size_t i = 0; i < self->count; i++) {
        low = low || self->points[i].low;
        timed = timed && !isnan(self->points[i].ms);
    }
    qsort(self->points, self->count, sizeof *self->points, low && timed ? by_ms : by_flops);
}

const char *frontier_low(const json_t *object) {
    const json_t *list = json_object_get(object, "points");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *low = json_string_value(json_object_get(json_array_get(list, i), "precision"));
        if (low) return low;
    }
    return NULL;
}

void frontier_widen(frontier *self) {
    size_t kept = 0;
    for (size_t i = 0; i < self->count; i++)
        if (!self->points[i].low) self->points[kept++] = self->points[i];
    self->count = kept;
}

rubato_status frontier_read(frontier *self, const json_t *object, size_t layers, rubato_error *error) {
    const json_t *list;
    const char *by, *metric;
    frontier_free(self);
    TRY(json_get_list(&list, object, "points", error));
    size_t count = json_array_size(list);
    TRY(json_get_text(&by, object, "significance", significance_names[0], error));
    TRY(json_get_text(&metric, object, "metric", "", error));
    snprintf(self->metric, sizeof self->metric, "%s", metric);
    TRY(json_get_real(&self->full, object, "full_quality", NAN, error));
    TRY(json_get_real(&self->full_ms, object, "full_ms", NAN, error));
    TRY(json_get_real(&self->full_error, object, "full_quality_error", NAN, error));
    TRY(json_get_size(&self->held_out, object, "held_out", 0, error));
    if (!significance_find(&self->by, by))
        return fail(error, RUBATO_UNSUPPORTED, "rubato.json: significance \"%.40s\"", by);
    if (count == 0) return RUBATO_OK;
    if (layers > POINT_LAYERS || count > MOST_POINTS)
        return fail(error, RUBATO_UNSUPPORTED, "rubato.json: %zu points of %zu layers; at most %d of %d are taken",
                    count, layers, MOST_POINTS, POINT_LAYERS);
    self->points = calloc(count, sizeof *self->points);
    if (!self->points) return fail_memory(error);
    for (size_t i = 0; i < count; i++) {
        rubato_status status = point_read(&self->points[i], json_array_get(list, i), layers, error);
        if (status != RUBATO_OK) {
            frontier_free(self);
            return status;
        }
    }
    self->count = count;
    const char *low = frontier_low(object);
    if (low) snprintf(self->low, sizeof self->low, "%s", low);
    sort(self);
    return RUBATO_OK;
}

static json_t *real(double value) {
    return isnan(value) ? json_null() : json_real(value);
}

static json_t *parts(const float *values, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) json_add(&list, json_real(round((double)values[i] * 1e6) / 1e6));
    return list;
}

json_t *point_object(const point *from, const char *low) {
    json_t *keep = json_array(), *object = json_object();
    for (size_t i = 0; i < from->layers; i++)
        json_add(&keep, from->skip[i] ? json_null() : json_real(round((double)from->keep[i] * 1e6) / 1e6));
    json_put(&object, "name", json_string(from->name));
    json_put(&object, "quality", real(from->quality));
    if (!isnan(from->quality_error)) json_put(&object, "quality_error", real(from->quality_error));
    json_put(&object, "flops_ratio", real(from->flops_ratio));
    if (from->flops_error > 0) json_put(&object, "flops_error", real(from->flops_error));
    json_put(&object, "ms", real(from->ms));
    json_put(&object, "keep", keep);
    json_t *merges = json_array();
    for (size_t i = 0; i < from->layers; i++)
        if (from->merge[i] && !from->skip[i]) json_add(&merges, json_integer((json_int_t)i + 1));
    if (!merges || json_array_size(merges))
        json_put(&object, "merge", merges);
    else
        json_decref(merges);
    if (from->low) json_put(&object, "precision", json_string(low));
    if (point_is_narrow(from)) {
        json_put(&object, "heads", parts(from->heads, from->layers));
        json_put(&object, "neurons", parts(from->neurons, from->layers));
    }
    if (point_forgets(from)) {
        json_put(&object, "memory", parts(from->memory, from->layers));
        json_put(&object, "selected", parts(from->selected, from->layers));
    }
    if (from->exit.rule) {
        json_put(&object, "exit", exit_setting_object(&from->exit));
        json_put(&object, "alive", parts(from->alive, from->layers));
        if (from->exit.by_token) json_put(&object, "present", parts(from->present, from->layers));
    }
    return object;
}

rubato_status frontier_write(const frontier *self, json_t *object, rubato_error *error) {
    json_t *list = json_array();
    for (size_t i = 0; i < self->count; i++) json_add(&list, point_object(&self->points[i], self->low));
    rubato_status status = json_set(object, "significance", json_string(significance_names[self->by]), error);
    if (status == RUBATO_OK) status = json_set(object, "metric", json_string(self->metric), error);
    if (status == RUBATO_OK) status = json_set(object, "full_quality", real(self->full), error);
    if (status == RUBATO_OK) status = json_set(object, "full_ms", real(self->full_ms), error);
    bool told = self->held_out > 0;
    if (status == RUBATO_OK && told) status = json_set(object, "full_quality_error", real(self->full_error), error);
    if (status == RUBATO_OK && told)
        status = json_set(object, "held_out", json_integer((json_int_t)self->held_out), error);
    if (!told) json_object_del(object, "full_quality_error");
    if (!told) json_object_del(object, "held_out");
    if (status == RUBATO_OK) return json_set(object, "points", list, error);
    json_decref(list);
    return status;
}

/* ---- Budgets ---- */

static rubato_status find_named(budget *out, const char *name, const frontier *points, rubato_error *error) {
    char known[320] = "";
    size_t at = 0;
    for (size_t i = 0; i < points->count; i++) {
        if (strcmp(points->points[i].name, name) == 0) {
            *out = (budget){.kind = BUDGET_NAME, .named = &points->points[i]};
            return RUBATO_OK;
        }
        if (at < sizeof known)
            at += (size_t)snprintf(known + at, sizeof known - at, "%s%s", i ? ", " : "", points->points[i].name);
    }
    return fail(error, RUBATO_BAD_ARGUMENT, "budget \"@%.40s\": this model's points are full%s%s", name,
                points->count ? ", " : "", known);
}

/* The cheapest point whose quality is at most this much, in hundredths, below the full model's; the full model where
 * there is no such point. */
static rubato_status find_good(budget *out, const char *text, const frontier *points, rubato_error *error) {
    char *end;
    double drop = strtod(text, &end);
    if (end == text || *end || !(drop >= 0 && drop <= 100))
        return fail(error, RUBATO_BAD_ARGUMENT, "budget \"drop:%.40s\": give points of quality, as drop:0.5", text);
    if (points->count == 0 || isnan(points->full))
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "budget \"drop:%.40s\": what points lose is not known of this model; rubato search finds out",
                    text);
    for (size_t i = 0; i < points->count; i++)
        if (points->points[i].quality >= points->full - drop / 100 - 1e-9) {
            *out = (budget){.kind = BUDGET_NAME, .named = &points->points[i]};
            return RUBATO_OK;
        }
    return RUBATO_OK;
}

rubato_status budget_parse(budget *out, const char *text, const frontier *points, const cost_model *times,
                           rubato_error *error) {
    *out = (budget){.kind = BUDGET_FULL};
    if (!text || strcmp(text, "full") == 0 || strcmp(text, "@full") == 0) return RUBATO_OK;
    if (text[0] == '@') return find_named(out, text + 1, points, error);
    if (strncmp(text, "drop:", 5) == 0) return find_good(out, text + 5, points, error);
    char *end;
    out->value = strtod(text, &end);
    bool ratio = strcmp(end, "x") == 0, ms = strcmp(end, "ms") == 0;
    if (end == text || (!ratio && !ms) || !(out->value > 0) || !isfinite(out->value))
        return fail(error, RUBATO_BAD_ARGUMENT, "budget \"%.40s\": use full, 0.4x, 8ms, drop:0.5 or @NAME", text);
    if (ratio && out->value >= 1) return RUBATO_OK;
    if (points->count == 0)
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "budget \"%.40s\": this model carries no operating points besides full; rubato search makes them",
                    text);
    if (ms && !times)
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "budget \"%.40s\": no cost model for this machine, model and number of threads; run rubato "
                    "calibrate first",
                    text);
    if (ratio && points->points[0].flops_ratio > out->value * BUDGET_SLACK)
        return fail(error, RUBATO_BAD_ARGUMENT, "budget \"%.40s\": the cheapest point, @%s, costs %.2fx", text,
                    points->points[0].name, points->points[0].flops_ratio);
    out->kind = ratio ? BUDGET_RATIO : BUDGET_MS;
    return RUBATO_OK;
}

/* The cost of a text that never leaves early. */
static double worst_price(price_function *price, const void *user, budget_kind kind, const point *at, size_t length) {
    point stays = *at;
    for (size_t i = 0; i < stays.layers; i++) stays.alive[i] = stays.present[i] = 1;
    return price(user, kind, &stays, length);
}

/* Of two points that a budget allows, the dearer one is taken unless its quality is lower beyond its standard error; of
 * points whose errors are unknown, the one of higher quality, and of equal ones the cheaper. Where a quality is
 * unknown, the dearer. */
static bool is_better(const point *at, double cost, const point *best, double best_cost) {
    if (!best) return true;
    if (isnan(at->quality) || isnan(best->quality)) return cost > best_cost;
    if (isnan(at->quality_error))
        return at->quality > best->quality || (!(at->quality < best->quality) && cost < best_cost);
    return cost > best_cost ? at->quality + at->quality_error >= best->quality
                            : at->quality > best->quality + at->quality_error;
}

bool budget_choose(const point **out, const budget *self, const frontier *points, price_function *price,
                   const void *user, size_t length) {
    *out = self->kind == BUDGET_NAME ? self->named : NULL;
    if (self->kind == BUDGET_FULL || self->kind == BUDGET_NAME) return true;
    const point *best = NULL, *cheapest = NULL;
    double least = INFINITY, best_cost = INFINITY;
    if (self->kind == BUDGET_MS && price(user, self->kind, NULL, length) <= self->value) return true;
    for (size_t i = 0; i < points->count; i++) {
        const point *p = &points->points[i];
        double cost = self->strict && p->exit.rule ? worst_price(price, user, self->kind, p, length)
                                                   : price(user, self->kind, p, length);
        const double likely = self->strict ? cost : cost * (1 + p->flops_error / p->flops_ratio);
        if (cost < least) {
            least = cost;
            cheapest = p;
        }
        if (cost <= self->value + 1e-9 && likely <= self->value * BUDGET_SLACK && is_better(p, cost, best, best_cost)) {
            best = p;
            best_cost = cost;
        }
    }
    *out = best ? best : cheapest;
    return best != NULL;
}
