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
                                  .data = o->unlabelled ? o->unlabelled : o->data,
                                  .columns = o->columns,
                                  .out = out,
                                  .limit = o->limit,
                                  .max_length = o->max_length,
                                  .threads = o->threads,
                                  .isa = o->isa,
                                  .seed = o->seed,
                                  .precision = self->bf16 ? "bf16" : "f32",
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

/* Cuts what the options say, from one folder to another. */
static rubato_status trim(rubato_trim_options cut, rubato_error *error) {
    rubato_trim_result *made;
    cut.size = sizeof cut;
    cut.overwrite = 1;
    TRY(rubato_trim(&cut, &made, error));
    rubato_free(made);
    return RUBATO_OK;
}

/* A head for other labels is replaced. */
static rubato_status run_tuned(adapting *self, rubato_error *error) {
    char out[ADAPT_PATH];
    const rubato_adapt_options *o = self->options;
    adapt_folder(self, "tuned", out);
    if (self->tuned) return RUBATO_OK;
    rubato_train_options options = common(self, o->model, out);
    options.data = o->data;
    options.new_head = strcmp(o->task, "classification") == 0 || strcmp(o->task, "tagging") == 0;
    options.rate = 5e-5;
    return train(&options, error);
}

/* The options of a stage in which a small model learns from the fine-tuned one; `teacher` outlives the call. States
 * cannot be compared where the word pieces are others. */
static rubato_train_options taught(adapting *self, const char *model, const char *out, const char *recipe,
                                   char teacher[ADAPT_PATH]) {
    rubato_train_options options = common(self, model, out);
    const bool others = adapt_teacher(self, teacher);
    options.recipe = recipe;
    options.teacher = teacher;
    if (others) options.match_states = -1;
    return options;
}

/* Word pieces that the data do not need leave, and the others become narrower. The model learns the words that are
 * spelled by others now: by the answers of the model with all pieces, or, where each token has an answer, by the
 * labels. */
static rubato_status run_pieces(adapting *self, rubato_error *error) {
    char tuned[ADAPT_PATH], start[ADAPT_PATH], out[ADAPT_PATH];
    const rubato_adapt_options *o = self->options;
    adapt_tuned(self, tuned);
    adapt_folder(self, "pieces-start", start);
    adapt_folder(self, "pieces", out);
    if (!was_stopped(out))
        TRY(trim((rubato_trim_options){.model = tuned,
                                       .out = start,
                                       .data = o->unlabelled ? o->unlabelled : o->data,
                                       .columns = o->columns,
                                       .vocabulary = self->pieces,
                                       .embedding = self->words,
                                       .positions = o->max_length},
                 error));
    rubato_train_options options =
        self->whole ? taught(self, start, out, "distilbert", tuned) : common(self, start, out);
    if (!self->whole) options.data = o->data;
    options.rate = 5e-5;
    options.epochs = 2.0 / 3 * self->epochs;
    return train(&options, error);
}

/* The student begins with every other layer, the last one among them. */
static rubato_status run_student(adapting *self, rubato_error *error) {
    char from[ADAPT_PATH], teacher[ADAPT_PATH], start[ADAPT_PATH], out[ADAPT_PATH], layers[512] = "";
    adapt_start(self, from);
    adapt_folder(self, "student-start", start);
    adapt_folder(self, "student", out);
    for (size_t i = 1 - self->layers % 2, at = 0; i < self->layers && at < sizeof layers - 8; i += 2)
        at += (size_t)snprintf(layers + at, sizeof layers - at, "%s%zu", at ? "," : "", i);
    if (!was_stopped(out)) TRY(trim((rubato_trim_options){.model = from, .out = start, .layers = layers}, error));
    rubato_train_options options = taught(self, start, out, "distilbert", teacher);
    options.rate = 1e-4;
    options.epochs = 4.0 / 3 * self->epochs;
    return train(&options, error);
}

static rubato_status run_pruned(adapting *self, rubato_error *error) {
    char from[ADAPT_PATH], teacher[ADAPT_PATH], whole[ADAPT_PATH], out[ADAPT_PATH];
    adapt_start(self, from);
    adapt_folder(self, "pruned-whole", whole);
    adapt_folder(self, "pruned", out);
    rubato_train_options options = taught(self, from, whole, "movement", teacher);
    options.keep = self->keep;
    options.rate = 1e-4;
    options.epochs = 4.0 / 3 * self->epochs;
    TRY(train(&options, error));
    return trim((rubato_trim_options){.model = whole, .out = out, .empty = 1}, error);
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

enum { DEAREST_PER_CENT = 60 }; /* points that cost more are not refined */

/* Training for operating points. */
typedef struct points_training {
    const char *from, *name; /* a folder; the name of the result */
    bool narrows;            /* layers can run with fewer heads and neurons */
    bool shallow;            /* the model has fewer layers than the teacher, so states cannot be compared */
    bool refines;            /* at the points that a search found */
    double passes;           /* passes over the data, as a part of the passes of fine-tuning */
} points_training;

/* Points of a model with exits are for sequences and tokens; the recipe leaves exits out where there can be none. */
static rubato_status train_points(adapting *self, const points_training *how, rubato_error *error) {
    char teacher[ADAPT_PATH], out[ADAPT_PATH];
    adapt_folder(self, how->name, out);
    rubato_train_options options = taught(self, how->from, out, "anytime", teacher);
    options.widths = how->narrows ? NULL : "1";
    if (how->shallow) options.match_states = -1;
    options.rate = 4e-5;
    options.epochs = how->passes * self->epochs;
    options.refine = how->refines;
    options.refine_to = how->refines ? DEAREST_PER_CENT / 100.0 : 0;
    return train(&options, error);
}

static rubato_status run_anytime(adapting *self, rubato_error *error) {
    char from[ADAPT_PATH];
    adapt_start(self, from);
    return train_points(
        self, &(points_training){.from = from, .name = "anytime", .narrows = self->narrows, .passes = 2.0 / 3}, error);
}

static rubato_status run_anytime_search(adapting *self, rubato_error *error) {
    return search(self, "anytime", error);
}

static rubato_status run_student_points(adapting *self, rubato_error *error) {
    char student[ADAPT_PATH];
    adapt_folder(self, "student", student);
    return train_points(
        self,
        &(points_training){
            .from = student, .name = "student-elastic", .narrows = self->narrows, .shallow = true, .passes = 2.0 / 3},
        error);
}

static rubato_status run_student_search(adapting *self, rubato_error *error) {
    return search(self, "student-elastic", error);
}

/* Layers that were pruned have sizes that cannot be narrowed evenly. */
static rubato_status run_pruned_points(adapting *self, rubato_error *error) {
    char pruned[ADAPT_PATH];
    adapt_folder(self, "pruned", pruned);
    return train_points(self, &(points_training){.from = pruned, .name = "pruned-elastic", .passes = 2.0 / 3}, error);
}

static rubato_status run_pruned_search(adapting *self, rubato_error *error) {
    return search(self, "pruned-elastic", error);
}

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
    char from[ADAPT_PATH];
    bool refines;
    adapt_folder(self, "anytime", from);
    TRY(has_points(from, &refines, error));
    return train_points(
        self,
        &(points_training){
            .from = from, .name = "elastic", .narrows = self->narrows, .refines = refines, .passes = 1.0 / 3},
        error);
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
    char model[ADAPT_PATH], name[64];
    adapt_tuned(self, model);
    TRY(quantize(self, model, "tuned-int8", error));
    for (size_t i = 0; i < adapt_model_count; i++) {
        if (!adapt_goes(self, adapt_models[i].way)) continue;
        adapt_folder(self, adapt_models[i].name, model);
        snprintf(name, sizeof name, "%s-int8", adapt_models[i].name);
        TRY(quantize(self, model, name, error));
        adapt_tell(self, NULL, (double)(i + 1) / (double)adapt_model_count);
    }
    return RUBATO_OK;
}

const adapt_model adapt_models[] = {{"pieces", "pieces", false},          {"student", "student", false},
                                    {"student-elastic", "student", true}, {"pruned", "pruned", false},
                                    {"pruned-elastic", "pruned", true},   {"elastic", "elastic", true}};
const size_t adapt_model_count = sizeof adapt_models / sizeof adapt_models[0];

const stage_kind adapt_stages[] = {
    {"tuned", "the model learns the task", run_tuned, 1, NULL},
    {"pieces", "word pieces that the data do not need leave", run_pieces, 0.9, "pieces"},
    {"student", "every other layer, which learns from the fine-tuned model", run_student, 1.1, "student"},
    {"student points", "operating points of the student", run_student_points, 1.2, "student"},
    {"student search", "the best of them", run_student_search, 0, "student"},
    {"pruned", "the fine-tuned model with a part of its heads and neurons", run_pruned, 1.9, "pruned"},
    {"pruned points", "operating points of the pruned model", run_pruned_points, 1.3, "pruned"},
    {"pruned search", "the best of them", run_pruned_search, 0, "pruned"},
    {"anytime", "operating points: shorter, narrower, shallower, with exits", run_anytime, 1.8, "elastic"},
    {"search", "the best of them", run_anytime_search, 0, "elastic"},
    {"elastic", "training at the points that were found", run_elastic, 0.9, "elastic"},
    {"search again", "the best points after that", run_elastic_search, 0, "elastic"},
    {"int8", "weights in 8 bits", run_int8, 0, NULL},
    {"measuring", "quality, time, size and energy of all candidates", adapt_measure, 0, NULL},
};
const size_t adapt_stage_count = sizeof adapt_stages / sizeof adapt_stages[0];
