/* Measuring and choosing among candidates. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapt/adapting.h"
#include "base/checked.h"
#include "base/file.h"
#include "base/order.h"
#include "task/context.h"
#include "task/evaluate.h"

enum { PARTS = 10, TIMED = 40 };

double candidate_number(const json_t *candidate, const char *key) {
    const json_t *value = json_object_get(candidate, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

const char *candidate_text(const json_t *candidate, const char *key) {
    return json_string_value(json_object_get(candidate, key));
}

typedef struct measuring {
    adapting *self;
    rubato_context *context;
    const char *budget;
    rubato_error *error;
} measuring;

static rubato_status evaluate_part(const measuring *m, const dataset *part, rubato_evaluation **out) {
    const rubato_adapt_options *o = m->self->options;
    const rubato_text_options text = {.size = sizeof text, .max_length = o->max_length};
    const rubato_options running = {.size = sizeof running, .text = &text, .budget = m->budget};
    const rubato_eval_options options = {
        .size = sizeof options, .task = o->task, .data = o->dev, .columns = o->columns, .run = &running};
    return evaluate_loaded(m->context, &options, part, out, NULL, m->error);
}

static rubato_status quality_of(const measuring *m, const dataset *part, double *value, char *metric, size_t bytes) {
    rubato_evaluation *result;
    TRY(evaluate_part(m, part, &result));
    *value = evaluation_main(result, metric, bytes);
    rubato_free(result);
    return RUBATO_OK;
}

/* The standard error of a proportion; of other metrics, of the mean of ten parts. */
static rubato_status error_of(const measuring *m, const dataset *part, double value, const char *metric, double *out) {
    const double count = (double)part->count;
    *out = NAN;
    if (strcmp(metric, "accuracy") == 0) {
        *out = sqrt(fmax(value * (1 - value), 0) / fmax(count, 1));
        return RUBATO_OK;
    }
    if (part->count < 5 * PARTS) return RUBATO_OK;
    double sum = 0, squares = 0;
    char ignored[16];
    for (size_t i = 0; i < PARTS; i++) {
        const size_t first = part->count * i / PARTS, last = part->count * (i + 1) / PARTS;
        const dataset some = {.items = part->items + first, .count = last - first};
        double own;
        TRY(quality_of(m, &some, &own, ignored, sizeof ignored));
        sum += own;
        squares += own * own;
    }
    *out = sqrt(fmax(squares / PARTS - sum / PARTS * (sum / PARTS), 0) / (PARTS - 1));
    return RUBATO_OK;
}

/* The median time of texts that come alone, and the energy of one. */
static rubato_status time_of(const measuring *m, const dataset *part, double *ms, double *joules, int *measured) {
    double times[TIMED], spent = 0;
    const size_t count = size_min(part->count, TIMED);
    for (size_t i = 0; i < count; i++) {
        const dataset one = {.items = part->items + i * part->count / count, .count = 1};
        rubato_evaluation *result;
        TRY(evaluate_part(m, &one, &result));
        times[i] = result->ms_mean;
        spent += result->joules;
        *measured = result->joules_measured;
        rubato_free(result);
    }
    *ms = median(times, count);
    *joules = spent / (double)count;
    return RUBATO_OK;
}

/* The weights of a folder: all files that hold tensors. */
static double megabytes_of(const char *folder) {
    static const char *const names[] = {"model.safetensors", "pytorch_model.bin", "exits/model.safetensors"};
    char path[ADAPT_PATH + 40];
    double bytes = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        bytes += (double)file_size(path);
    }
    return bytes / 1e6;
}

static rubato_status measure_at(const measuring *m, const char *name, const char *folder, const char *at) {
    adapting *self = m->self;
    measuring own = *m;
    char metric[16] = "", ignored[16], title[160];
    double quality, other, spread, ms, joules;
    int measured = 0;
    own.budget = at;
    TRY(quality_of(&own, &self->told, &quality, metric, sizeof metric));
    TRY(error_of(&own, &self->told, quality, metric, &spread));
    TRY(quality_of(&own, &self->all, &other, ignored, sizeof ignored));
    TRY(time_of(&own, &self->told, &ms, &joules, &measured));
    snprintf(title, sizeof title, "%s%s%s", name, at ? " " : "", at ? at : "");
    json_t *made = json_object();
    json_put(&made, "name", json_string(title));
    json_put(&made, "folder", json_string(folder));
    if (at) json_put(&made, "budget", json_string(at));
    json_put(&made, "quality", json_real(quality));
    if (isfinite(spread)) json_put(&made, "quality_error", json_real(spread));
    json_put(&made, "chosen_on", json_real(other));
    json_put(&made, "ms", json_real(ms));
    json_put(&made, "megabytes", json_real(megabytes_of(folder)));
    json_put(&made, "joules", json_real(joules));
    json_put(&made, "joules_measured", json_boolean(measured));
    TRY(json_set(self->record, "metric", json_string(metric), m->error));
    if (!made || json_array_append_new(json_object_get(self->record, "candidates"), made) != 0)
        return fail_memory(m->error);
    return RUBATO_OK;
}

/* The full model, and its operating points. */
static rubato_status measure_model(adapting *self, const char *name, const char *folder, bool points,
                                   rubato_error *error) {
    rubato_model *model;
    measuring m = {.self = self, .error = error};
    const rubato_context_options how = {
        .size = sizeof how, .threads = self->options->threads, .isa = self->options->isa};
    TRY(rubato_model_load(&model, folder, error));
    rubato_status status = rubato_context_create(&m.context, model, &how, error);
    if (status == RUBATO_OK) status = measure_at(&m, name, folder, NULL);
    for (size_t i = 0; points && i < rubato_point_count(model) && status == RUBATO_OK; i++) {
        char at[96];
        snprintf(at, sizeof at, "@%s", rubato_model_point(model, i)->name);
        status = measure_at(&m, name, folder, at);
    }
    rubato_context_destroy(m.context);
    rubato_model_destroy(model);
    return status;
}

rubato_status adapt_measure(adapting *self, rubato_error *error) {
    char folder[ADAPT_PATH], name[64];
    TRY(json_set(self->record, "candidates", json_array(), error));
    adapt_tuned(self, folder);
    TRY(measure_model(self, "tuned", folder, false, error));
    adapt_folder(self, "tuned-int8", folder);
    TRY(measure_model(self, "tuned-int8", folder, false, error));
    for (size_t i = 0; i < 2 * adapt_model_count; i++) {
        const adapt_model *of = &adapt_models[i / 2];
        if (!adapt_goes(self, of->way)) continue;
        snprintf(name, sizeof name, "%s%s", of->name, i % 2 ? "-int8" : "");
        if (adapt_tell(self, name, (double)(i + 1) / (double)(2 * adapt_model_count + 1)))
            return fail(error, RUBATO_CANCELLED, "stopped while candidates were measured; --resume goes on");
        adapt_folder(self, name, folder);
        TRY(measure_model(self, name, folder, of->points, error));
    }
    const json_t *all = json_object_get(self->record, "candidates");
    const double base = candidate_number(json_array_get(all, 0), "ms");
    for (size_t i = 0; i < json_array_size(all); i++) {
        json_t *one = json_array_get(all, i);
        TRY(json_set(one, "ratio", json_real(candidate_number(one, "ms") / base), error));
    }
    return RUBATO_OK;
}

static double cost_of(const adapting *self, const json_t *candidate) {
    return candidate_number(candidate, self->target == TARGET_RATIO ? "ratio"
                                       : self->target == TARGET_MS  ? "ms"
                                                                    : "megabytes");
}

rubato_status adapt_mark(const adapting *self, rubato_error *error) {
    const json_t *all = json_object_get(self->record, "candidates");
    for (size_t i = 0; i < json_array_size(all); i++) {
        json_t *one = json_array_get(all, i);
        TRY(json_set(one, "meets", json_boolean(cost_of(self, one) <= self->wanted), error));
    }
    return RUBATO_OK;
}

size_t adapt_choose(const adapting *self, bool *met) {
    const json_t *all = json_object_get(self->record, "candidates");
    const double full = candidate_number(json_array_get(all, 0), "chosen_on");
    size_t best = SIZE_MAX, nearest = 0;
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);
        if (cost_of(self, one) < cost_of(self, json_array_get(all, nearest))) nearest = i;
        if (!json_is_true(json_object_get(one, "meets"))) continue;
        if (best == SIZE_MAX ||
            candidate_number(one, "chosen_on") > candidate_number(json_array_get(all, best), "chosen_on"))
            best = i;
    }
    *met = best != SIZE_MAX &&
           candidate_number(json_array_get(all, best), "chosen_on") >= full - self->max_drop / 100 - 1e-9;
    return best != SIZE_MAX ? best : nearest;
}
