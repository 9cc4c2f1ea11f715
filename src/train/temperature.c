/* Calibrating exits. */
#include "train/temperature.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "task/evaluate.h"
#include "task/exit_trail.h"
#include "task/folder.h"
#include "task/load_exits.h"

enum { NARROWINGS = 14 };

typedef struct fitting {
    const rubato_train_options *options;
    rubato_model *model;
    rubato_context *context;
    dataset data;
    exit_trail trail;
    float *logits; /* [texts, classes] of the exit whose temperature is fitted */
    size_t place;
} fitting;

static rubato_status loss_at(fitting *f, double log_temperature, double *loss, rubato_error *error) {
    const rubato_eval_options options = {.size = sizeof options, .task = f->options->task, .data = f->options->dev};
    rubato_evaluation *result;
    exit_setting only = {.rule = &exit_fixed, .first = (uint32_t)f->trail.place_of[f->place] + 1};
    exit_trail_replay(&f->trail, &only, f->logits, NULL);
    const float temperature = (float)exp(log_temperature);
    for (size_t i = 0; i < f->trail.count * f->trail.classes; i++) f->logits[i] /= temperature;
    TRY(evaluate_logits(f->context, &options, &f->data, f->logits, &result, error));
    for (size_t i = 0; i < result->metric_count; i++)
        if (strcmp(result->metrics[i].name, "nll") == 0) *loss = result->metrics[i].value;
    rubato_free(result);
    return RUBATO_OK;
}

/* The loss has one minimum over the logarithm of the temperature: golden-section search between 1/20 and 20. */
static rubato_status fit_one(fitting *f, rubato_error *error) {
    const double golden = 0.6180339887498949;
    double low = -3, high = 3, a = high - golden * (high - low), b = low + golden * (high - low), at_a = 0, at_b = 0;
    double plain = 0, best = 0;
    TRY(loss_at(f, 0, &plain, error));
    TRY(loss_at(f, a, &at_a, error));
    TRY(loss_at(f, b, &at_b, error));
    for (int i = 0; i < NARROWINGS; i++) {
        if (at_a <= at_b) {
            high = b;
            b = a;
            at_b = at_a;
            a = high - golden * (high - low);
            TRY(loss_at(f, a, &at_a, error));
        } else {
            low = a;
            a = b;
            at_a = at_b;
            b = low + golden * (high - low);
            TRY(loss_at(f, b, &at_b, error));
        }
    }
    best = at_a <= at_b ? a : b;
    bool gains = fmin(at_a, at_b) < plain;
    f->model->exits.heads[f->trail.place_of[f->place]].temperature = gains ? (float)exp(best) : 1;
    return RUBATO_OK;
}

static rubato_status write_back(const fitting *f, rubato_error *error) {
    json_t *notes;
    TRY(model_read_notes(&notes, f->options->out, error));
    rubato_status status = exits_note(&f->model->exits, notes, error);
    if (status == RUBATO_OK) status = model_write_json(notes, f->options->out, "rubato.json", error);
    json_decref(notes);
    return status;
}

rubato_status temperatures_fit(const trainer *self, rubato_error *error) {
    fitting f = {.options = self->options};
    rubato_context_options options = {
        .size = sizeof options, .threads = self->options->threads, .isa = self->options->isa};
    dataset_kind kind;
    if (self->kind != SAMPLE_CLASS) return RUBATO_OK;
    TRY(evaluate_kind(self->options->task, &kind, error));
    TRY(dataset_read(&f.data, self->options->dev, kind, self->options->columns, error));
    rubato_status status = rubato_model_load(&f.model, self->options->out, error);
    if (status == RUBATO_OK) status = rubato_context_create(&f.context, f.model, &options, error);
    for (size_t i = 0; status == RUBATO_OK && i < f.model->exits.depth; i++) f.model->exits.heads[i].temperature = 1;
    point full = point_full(status == RUBATO_OK ? f.model->body.depth : 0);
    if (status == RUBATO_OK)
        status = exit_trail_run(&f.trail, f.context, &full, &f.data, self->options->max_length, error);
    if (status == RUBATO_OK && !(f.logits = malloc(f.trail.count * f.trail.classes * sizeof *f.logits)))
        status = fail_memory(error);
    for (; status == RUBATO_OK && f.place < f.trail.places; f.place++) status = fit_one(&f, error);
    if (status == RUBATO_OK) status = write_back(&f, error);
    free(f.logits);
    exit_trail_free(&f.trail);
    rubato_context_destroy(f.context);
    rubato_model_destroy(f.model);
    dataset_free(&f.data);
    return status;
}
