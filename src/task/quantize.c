/* rubato_quantize: a model in low precision, the choice of layers in higher precision, and the way back. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "base/options.h"
#include "task/context.h"
#include "task/evaluate.h"
#include "task/folder.h"
#include "task/load.h"
#include "task/output_folder.h"
#include "task/save.h"
#include "task/smooth.h"

typedef struct quantizing {
    const rubato_quantize_options *options;
    rubato_quantize_result *result;
    char metric[32]; /* of the quality */
    precision to;
    precision *each; /* [layers] */
    size_t layers;
    dataset data;
    bool judged;
    smoothing smooth; /* smooth.factors NULL: none */
    size_t done, all; /* for progress */
} quantizing;

/* ---- Judging ---- */

static rubato_status judge(quantizing *q, rubato_context *context, const point *at, double *value,
                           rubato_error *error) {
    const rubato_text_options text = {.size = sizeof text, .max_length = q->options->max_length};
    const rubato_options running = {.size = sizeof running, .text = &text};
    const rubato_eval_options options = {
        .size = sizeof options, .task = q->options->task, .data = q->options->data, .run = &running};
    rubato_evaluation *made;
    context->force = at;
    rubato_status status = evaluate_loaded(context, &options, &q->data, &made, NULL, error);
    context->force = NULL;
    TRY(status);
    *value = evaluation_main(made, q->metric, sizeof q->metric);
    rubato_free(made);
    if (isnan(*value))
        return fail(error, RUBATO_BAD_ARGUMENT, "task \"%.40s\" has no single metric to hold to", q->options->task);
    q->done++;
    if (q->options->progress) q->options->progress(q->options->progress_user, q->done, size_max(q->all, q->done));
    return RUBATO_OK;
}

/* The quality of a model with layers in those precisions; NULL: as stored. */
static rubato_status judge_model(quantizing *q, const char *name, const precision *each, double *value,
                                 rubato_error *error) {
    model_precision wanted = {.precision = PRECISION_STORED, .each = each, .smooth = each ? q->smooth.factors : NULL};
    rubato_context_options options = {.size = sizeof options, .threads = q->options->threads, .isa = q->options->isa};
    rubato_model *model;
    rubato_context *context = NULL;
    TRY(model_load(&model, name, &wanted, NULL, error));
    rubato_status status = rubato_context_create(&context, model, &options, error);
    if (status == RUBATO_OK) status = judge(q, context, NULL, value, error);
    rubato_context_destroy(context);
    rubato_model_destroy(model);
    return status;
}

/* ---- Which layers stay wider ---- */

typedef struct gain {
    size_t layer;
    double quality; /* quality with this layer alone lifted */
} gain;

static int by_quality(const void *a, const void *b) {
    double x = ((const gain *)a)->quality, y = ((const gain *)b)->quality;
    return x > y ? -1 : x < y;
}

static bool holds(const quantizing *q, double value) {
    return 100 * (q->result->before - value) <= q->options->max_drop + 1e-9;
}

/* Lifts layers to bf16 until the loss is small enough; layers that gain most by themselves come first. */
static rubato_status lift(quantizing *q, rubato_error *error) {
    const char *name = q->options->model;
    double value;
    TRY(judge_model(q, name, q->each, &value, error));
    if (holds(q, value)) return RUBATO_OK;
    gain *gains = calloc(q->layers, sizeof *gains);
    if (!gains) return fail_memory(error);
    q->all = q->done + 2 * q->layers;
    rubato_status status = RUBATO_OK;
    for (size_t i = 0; i < q->layers && status == RUBATO_OK; i++) {
        q->each[i] = PRECISION_BF16;
        gains[i].layer = i;
        status = judge_model(q, name, q->each, &gains[i].quality, error);
        q->each[i] = PRECISION_INT8;
    }
    qsort(gains, q->layers, sizeof *gains, by_quality);
    for (size_t i = 0; i < q->layers && status == RUBATO_OK && !holds(q, value); i++) {
        q->each[gains[i].layer] = PRECISION_BF16;
        q->result->lifted++;
        status = judge_model(q, name, q->each, &value, error);
    }
    free(gains);
    return status;
}

/* ---- Writing ---- */

static rubato_status note_scheme(const quantizing *q, json_t *notes, rubato_error *error) {
    if (q->to == PRECISION_F32) {
        json_object_del(notes, "weights");
        return RUBATO_OK;
    }
    json_t *scheme = json_object(), *layers = json_array();
    for (size_t i = 0; i < q->layers; i++) json_add(&layers, json_string(precision_name(q->each[i])));
    json_put(&scheme, "layers", layers);
    json_put(&scheme, "embeddings", json_string(precision_name(q->to)));
    json_put(&scheme, "scheme",
             json_string(q->to == PRECISION_INT8 ? "weights symmetric by output channel, activations by row as they "
                                                   "come, embeddings, heads and exits by row"
                                                 : "rounded to nearest even"));
    json_put(&scheme, "panel", json_integer(PANEL));
    if (q->smooth.factors) json_put(&scheme, "smooth", json_real(q->options->smooth));
    return json_set(notes, "weights", scheme, error);
}

static rubato_status write(const quantizing *q, const rubato_model *about, const char *folder, rubato_error *error) {
    storage types = {DTYPE_F32, q->to == PRECISION_INT8 ? DTYPE_I8 : q->to == PRECISION_BF16 ? DTYPE_BF16 : DTYPE_F32};
    learning learn = {.task = about->info.task, .as_stored = true};
    model_precision wanted = {.precision = q->to, .each = q->each, .smooth = q->smooth.factors};
    json_t *notes;
    rubato_model *model;
    TRY(model_load(&model, q->options->model, &wanted, &learn, error));
    for (size_t i = 0; i < model->points.count; i++) model->points.points[i].ms = NAN;
    rubato_status status = model_read_notes(&notes, model->path, error);
    if (status == RUBATO_OK) {
        status = note_scheme(q, notes, error);
        if (status == RUBATO_OK) status = model_write(model, folder, types, notes, error);
        json_decref(notes);
    }
    rubato_model_destroy(model);
    return status;
}

/* Evaluates the written model: its quality, and that of its points. */
static rubato_status look_back(quantizing *q, const char *folder, rubato_error *error) {
    rubato_context_options options = {.size = sizeof options, .threads = q->options->threads, .isa = q->options->isa};
    rubato_model *model;
    rubato_context *context = NULL;
    json_t *notes = NULL;
    TRY(rubato_model_load(&model, folder, error));
    q->result->bytes_after = checkpoint_bytes(&model->weights);
    frontier *points = &model->points;
    q->all = q->done + 1 + points->count;
    rubato_status status = q->judged ? rubato_context_create(&context, model, &options, error) : RUBATO_OK;
    if (status == RUBATO_OK && q->judged) status = judge(q, context, NULL, &q->result->after, error);
    points->full_ms = points->full_error = NAN;
    points->held_out = 0;
    for (size_t i = 0; i < points->count; i++) points->points[i].quality_error = NAN;
    points->full = q->judged ? q->result->after : NAN;
    for (size_t i = 0; q->judged && i < points->count && status == RUBATO_OK; i++)
        status = judge(q, context, &points->points[i], &points->points[i].quality, error);
    if (status == RUBATO_OK && q->judged && points->count) {
        status = model_read_notes(&notes, folder, error);
        if (status == RUBATO_OK) status = model_save_points(points, notes, folder, error);
        json_decref(notes);
    }
    rubato_context_destroy(context);
    rubato_model_destroy(model);
    return status;
}

static rubato_status write_files(quantizing *q, const rubato_model *about, rubato_error *error) {
    staged_files staged;
    TRY(staged_open(&staged, q->options->out, error));
    rubato_status status = write(q, about, staged.path, error);
    if (status == RUBATO_OK) status = look_back(q, staged.path, error);
    if (status == RUBATO_OK) return output_commit_alone(&staged, error);
    staged_abandon(&staged);
    return status;
}

/* ---- All together ---- */

static rubato_status check(quantizing *q, rubato_error *error) {
    const rubato_quantize_options *options = q->options;
    if (!options->model || !options->out || !options->to)
        return fail(error, RUBATO_BAD_ARGUMENT, "a model, a precision and an output folder are needed");
    TRY(precision_find(&q->to, options->to, error));
    q->judged = options->data != NULL;
    if (q->judged != (options->task != NULL))
        return fail(error, RUBATO_BAD_ARGUMENT, "to judge the result, give a task and its data");
    if (options->max_drop != 0 && (!q->judged || q->to != PRECISION_INT8))
        return fail(error, RUBATO_BAD_ARGUMENT, "a largest drop is for int8 and needs a task and its data");
    if (options->smooth != 0 &&
        (!q->judged || q->to != PRECISION_INT8 || !(options->smooth > 0 && options->smooth < 1)))
        return fail(error, RUBATO_BAD_ARGUMENT,
                    "smoothing is for int8, has a strength between 0 and 1, and needs a task and its data");
    if (!q->judged) return RUBATO_OK;
    dataset_kind kind;
    TRY(evaluate_kind(options->task, &kind, error));
    return dataset_read(&q->data, options->data, kind, options->columns, error);
}

static rubato_status quantize(quantizing *q, rubato_error *error) {
    TRY(check(q, error));
    rubato_model *about;
    TRY(rubato_model_load(&about, q->options->model, error));
    q->result->bytes_before = checkpoint_bytes(&about->weights);
    q->layers = about->body.unique;
    q->each = calloc(size_max(q->layers, 1), sizeof *q->each);
    rubato_status status = q->each ? RUBATO_OK : fail_memory(error);
    for (size_t i = 0; q->each && i < q->layers; i++) q->each[i] = q->to;
    q->all = 3;
    if (status == RUBATO_OK) status = output_check(q->options->out, about, q->options->overwrite, error);
    if (status == RUBATO_OK && q->judged) status = judge_model(q, q->options->model, NULL, &q->result->before, error);
    if (status == RUBATO_OK && q->options->smooth != 0)
        status = smoothing_measure(&q->smooth, q->options->model, &q->data, q->options->smooth, q->options->max_length,
                                   error);
    if (status == RUBATO_OK && q->options->max_drop != 0) status = lift(q, error);
    q->result->layers = q->layers;
    if (status == RUBATO_OK) status = write_files(q, about, error);
    rubato_model_destroy(about);
    return status;
}

/* A result with its text. */
typedef struct outcome {
    rubato_quantize_result is;
    char metric[32];
} outcome;

rubato_status rubato_quantize(const rubato_quantize_options *options, rubato_quantize_result **result,
                              rubato_error *error) {
    rubato_quantize_options own;
    *result = NULL;
    TRY(OPTIONS_COPY(&own, rubato_quantize_options, options, error));
    outcome *made = calloc(1, sizeof *made);
    if (!made) return fail_memory(error);
    made->is.before = made->is.after = NAN;
    quantizing q = {.options = &own, .result = &made->is};
    rubato_status status = quantize(&q, error);
    dataset_free(&q.data);
    smoothing_free(&q.smooth);
    free(q.each);
    if (status != RUBATO_OK) {
        free(made);
        return status;
    }
    memcpy(made->metric, q.metric, sizeof made->metric);
    made->is.metric = q.judged ? made->metric : NULL;
    *result = &made->is;
    return RUBATO_OK;
}
