/* The stages of rubato_adapt. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapt/adapting.h"
#include "base/checked.h"
#include "base/file.h"

static int tell_training(void *user, const rubato_train_progress *p) {
    return adapt_tell(user, p->phase, (double)p->step / (double)size_max(p->steps, 1));
}

static int tell_search(void *user, const rubato_search_progress *p) {
    const double share = (double)p->iteration / (double)size_max(p->iterations + 1, 1);
    const double timed = (double)p->timed / (double)size_max(p->frontier, 1);
    return adapt_tell(user, NULL, p->timed ? 0.9 + 0.1 * timed : 0.9 * share);
}

/* A run of training that was stopped in that folder behind a checkpoint goes on. */
static bool was_stopped(const char *folder) {
    char path[ADAPT_PATH + 32];
    json_t *record = NULL;
    snprintf(path, sizeof path, "%s/training.safetensors", folder);
    if (!file_exists(path)) return false;
    snprintf(path, sizeof path, "%s/training.json", folder);
    if (!file_exists(path) || json_read_file(&record, path, 1 << 20, NULL) != RUBATO_OK) return false;
    const bool stopped = json_is_false(json_object_get(record, "ended"));
    json_decref(record);
    return stopped;
}

/* The options that all stages of training share; the caller's strings outlive the call. */
static rubato_train_options common(adapting *self, const char *model, const char *out) {
    const rubato_adapt_options *o = self->options;
    return (rubato_train_options){.size = sizeof(rubato_train_options),
                                  .model = model,
                                  .task = o->task,
                                  .data = o->data,
                                  .columns = o->columns,
                                  .out = out,
                                  .limit = o->limit,
                                  .max_length = o->max_length,
                                  .threads = o->threads,
                                  .isa = o->isa,
                                  .seed = o->seed,
                                  .epochs = self->epochs,
                                  .progress = tell_training,
                                  .progress_user = self};
}

static rubato_status train(const rubato_train_options *given, rubato_error *error) {
    rubato_train_options options = *given;
    rubato_train_result *result;
    options.resume = was_stopped(options.out);
    options.overwrite = !options.resume;
    TRY(rubato_train(&options, &result, error));
    rubato_free(result);
    return RUBATO_OK;
}

static rubato_status run_tuned(adapting *self, rubato_error *error) {
    char out[ADAPT_PATH];
    if (self->tuned) return RUBATO_OK;
    adapt_folder(self, "tuned", out);
    rubato_train_options options = common(self, self->options->model, out);
    options.rate = 5e-5;
    return train(&options, error);
}

/* The student begins with every other layer, the last one among them. */
static rubato_status run_student(adapting *self, rubato_error *error) {
    char tuned[ADAPT_PATH], start[ADAPT_PATH], out[ADAPT_PATH], layers[512] = "";
    adapt_tuned(self, tuned);
    adapt_folder(self, "student-start", start);
    adapt_folder(self, "student", out);
    for (size_t i = 1 - self->layers % 2, at = 0; i < self->layers && at < sizeof layers - 8; i += 2)
        at += (size_t)snprintf(layers + at, sizeof layers - at, "%s%zu", at ? "," : "", i);
    if (!was_stopped(out)) {
        const rubato_trim_options cut = {
            .size = sizeof cut, .model = tuned, .out = start, .layers = layers, .overwrite = 1};
        rubato_trim_result *made;
        TRY(rubato_trim(&cut, &made, error));
        rubato_free(made);
    }
    rubato_train_options options = common(self, start, out);
    options.recipe = "distilbert";
    options.teacher = tuned;
    options.rate = 1e-4;
    options.epochs = 4.0 / 3 * self->epochs;
    return train(&options, error);
}

static rubato_status run_pruned(adapting *self, rubato_error *error) {
    char tuned[ADAPT_PATH], whole[ADAPT_PATH], out[ADAPT_PATH];
    adapt_tuned(self, tuned);
    adapt_folder(self, "pruned-whole", whole);
    adapt_folder(self, "pruned", out);
    rubato_train_options options = common(self, tuned, whole);
    options.recipe = "movement";
    options.teacher = tuned;
    options.keep = 0.5;
    options.rate = 1e-4;
    options.epochs = 4.0 / 3 * self->epochs;
    TRY(train(&options, error));
    const rubato_trim_options cut = {.size = sizeof cut, .model = whole, .out = out, .empty = 1, .overwrite = 1};
    rubato_trim_result *made;
    TRY(rubato_trim(&cut, &made, error));
    rubato_free(made);
    return RUBATO_OK;
}

static rubato_status search(adapting *self, const char *name, rubato_error *error) {
    char model[ADAPT_PATH], log[ADAPT_PATH + 16];
    const rubato_adapt_options *o = self->options;
    adapt_folder(self, name, model);
    snprintf(log, sizeof log, "%s/search.jsonl", model);
    const rubato_search_options options = {.size = sizeof options,
                                           .model = model,
                                           .task = o->task,
                                           .data = o->dev,
                                           .columns = o->columns,
                                           .iterations = 8,
                                           .max_length = o->max_length,
                                           .threads = o->threads,
                                           .isa = o->isa,
                                           .seed = o->seed,
                                           .lowest = 0.1,
                                           .resume = file_exists(log),
                                           .progress = tell_search,
                                           .progress_user = self,
                                           .overwrite = !file_exists(log)};
    rubato_search_result *result;
    TRY(rubato_search(&options, &result, error));
    const bool stopped = result->stopped;
    rubato_free(result);
    return stopped ? fail(error, RUBATO_CANCELLED, "stopped while points were searched; --resume goes on") : RUBATO_OK;
}

/* Points of a model with exits are for sequences and tokens; the recipe leaves exits out where there can be none. */
static rubato_status run_anytime(adapting *self, rubato_error *error) {
    char tuned[ADAPT_PATH], out[ADAPT_PATH];
    adapt_tuned(self, tuned);
    adapt_folder(self, "anytime", out);
    rubato_train_options options = common(self, tuned, out);
    options.recipe = "anytime";
    options.widths = self->narrows ? NULL : "1";
    options.teacher = tuned;
    options.rate = 4e-5;
    options.epochs = 2.0 / 3 * self->epochs;
    return train(&options, error);
}

static rubato_status run_anytime_search(adapting *self, rubato_error *error) {
    return search(self, "anytime", error);
}

enum { DEAREST_PER_CENT = 60 }; /* points that cost more are not refined */

/* Whether a model has points that are worth refining: a small search may find none. */
static rubato_status has_points(const char *folder, bool *found, rubato_error *error) {
    rubato_model *model;
    TRY(rubato_model_load(&model, folder, error));
    *found = false;
    for (size_t i = 0; i < rubato_point_count(model); i++)
        *found = *found || rubato_model_point(model, i)->flops_ratio <= DEAREST_PER_CENT / 100.0;
    rubato_model_destroy(model);
    return RUBATO_OK;
}

static rubato_status run_elastic(adapting *self, rubato_error *error) {
    char tuned[ADAPT_PATH], from[ADAPT_PATH], out[ADAPT_PATH];
    adapt_tuned(self, tuned);
    adapt_folder(self, "anytime", from);
    adapt_folder(self, "elastic", out);
    rubato_train_options options = common(self, from, out);
    options.recipe = "anytime";
    options.widths = self->narrows ? NULL : "1";
    options.teacher = tuned;
    options.rate = 4e-5;
    options.epochs = self->epochs / 3;
    bool refines;
    TRY(has_points(from, &refines, error));
    options.refine = refines;
    options.refine_to = refines ? DEAREST_PER_CENT / 100.0 : 0;
    return train(&options, error);
}

static rubato_status run_elastic_search(adapting *self, rubato_error *error) {
    return search(self, "elastic", error);
}

static rubato_status quantize(adapting *self, const char *model, const char *name, rubato_error *error) {
    char out[ADAPT_PATH];
    adapt_folder(self, name, out);
    const rubato_quantize_options options = {
        .size = sizeof options, .model = model, .out = out, .to = "int8", .overwrite = 1};
    rubato_quantize_result *made;
    TRY(rubato_quantize(&options, &made, error));
    rubato_free(made);
    return RUBATO_OK;
}

static rubato_status run_int8(adapting *self, rubato_error *error) {
    static const char *const from[] = {"student", "pruned", "elastic"};
    static const char *const to[] = {"student-int8", "pruned-int8", "elastic-int8"};
    char model[ADAPT_PATH];
    adapt_tuned(self, model);
    TRY(quantize(self, model, "tuned-int8", error));
    for (size_t i = 0; i < 3; i++) {
        if (!self->prunes && strcmp(from[i], "pruned") == 0) continue;
        adapt_folder(self, from[i], model);
        TRY(quantize(self, model, to[i], error));
        adapt_tell(self, NULL, (double)(i + 2) / 4);
    }
    return RUBATO_OK;
}

const stage_kind adapt_stages[] = {
    {"tuned", "the model learns the task", run_tuned, 1, false},
    {"student", "every other layer, which learns from the fine-tuned model", run_student, 1.1, false},
    {"pruned", "the fine-tuned model without half of its heads and neurons", run_pruned, 1.9, true},
    {"anytime", "operating points: shorter, narrower, shallower, with exits", run_anytime, 1.8, false},
    {"search", "the best operating points", run_anytime_search, 0, false},
    {"elastic", "training at the points that were found", run_elastic, 0.9, false},
    {"search again", "the best operating points after that", run_elastic_search, 0, false},
    {"int8", "weights in 8 bits", run_int8, 0, false},
    {"measuring", "quality, time, size and energy of all candidates", adapt_measure, 0, false},
};
const size_t adapt_stage_count = sizeof adapt_stages / sizeof adapt_stages[0];
