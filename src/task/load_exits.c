/* Exits of a model: FOLDER/exits/model.safetensors and what rubato.json says of them,
 *
 *   "exits": {"kind": "linear", "reads": "first", "classes": 2, "layers": [0, 1, 2], "temperatures": [1, 1, 1],
 *             "rule": {"rule": "entropy", ...}} */
#include "task/load_exits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum { PATH_BYTES = 4096 + 64 };

bool model_may_exit(const rubato_model *model) {
    head_kind kind = engine_main_head(model);
    return kind == HEAD_SEQUENCE || kind == HEAD_TOKEN;
}

static rubato_status main_head(const rubato_model *model, const head **out, rubato_error *error) {
    head_kind kind = engine_main_head(model);
    if (!model_may_exit(model))
        return fail(error, RUBATO_WRONG_TASK,
                    "a model for %s cannot have exits; classifiers, regressors and taggers can",
                    rubato_task_name(model->info.task));
    return engine_head(model, kind, out, error);
}

static loader exits_loader(rubato_model *model, checkpoint *weights, bindings *bound, uint64_t *fresh,
                           rubato_error *error) {
    return (loader){
        .weights = weights,
        .prefix = "",
        .with = {.memory = &model->packed, .kernels = kernel_table_named("untiled"), .precision = PRECISION_F32},
        .error = error,
        .bound = bound,
        .fresh = fresh};
}

static rubato_status open_folder(const rubato_model *model, checkpoint *weights, rubato_error *error) {
    char folder[PATH_BYTES];
    snprintf(folder, sizeof folder, "%s/exits", model->path);
    return checkpoint_open(weights, folder, model->weights.how, error);
}

/* Removes the bindings of exits, which are about to be bound again. */
static void unbind(bindings *bound) {
    size_t kept = 0;
    for (size_t i = 0; i < bound->count; i++) {
        if (bound->items[i].place == IN_EXITS)
            free(bound->items[i].name);
        else
            bound->items[kept++] = bound->items[i];
    }
    bound->count = kept;
}

static rubato_status read_layers(const json_t *list, size_t *layers, size_t *count, rubato_error *error) {
    *count = json_array_size(list);
    if (*count == 0 || *count > POINT_LAYERS) return fail(error, RUBATO_BAD_MODEL, "rubato.json: %zu exits", *count);
    for (size_t i = 0; i < *count; i++) {
        const json_t *item = json_array_get(list, i);
        json_int_t value = json_is_integer(item) ? json_integer_value(item) : -1;
        if (value < 0 || value >= POINT_LAYERS)
            return fail(error, RUBATO_BAD_MODEL, "rubato.json: exit %zu is after no layer", i);
        layers[i] = (size_t)value;
    }
    return RUBATO_OK;
}

rubato_status model_load_exits(rubato_model *model, const json_t *notes, bindings *bound, rubato_error *error) {
    const json_t *object, *after, *rule, *temperatures;
    const head *final;
    const char *kind, *reads;
    size_t layers[POINT_LAYERS], count;
    checkpoint weights;
    TRY(json_get_object(&object, notes, "exits", error));
    if (!object) return RUBATO_OK;
    TRY(json_get_list(&after, object, "layers", error));
    TRY(json_get_object(&rule, object, "rule", error));
    TRY(json_get_list(&temperatures, object, "temperatures", error));
    size_t classes;
    TRY(json_get_size(&classes, object, "classes", 0, error));
    /* exits are removed together with a head for another task */
    head_kind main_kind = engine_main_head(model);
    if (bound && (main_kind == HEAD_COUNT || model->heads[main_kind].out.out != classes)) return RUBATO_OK;
    TRY(main_head(model, &final, error));
    TRY(json_get_text(&kind, object, "kind", "", error));
    if (exit_kind_find(kind) == EXIT_NONE)
        return fail(error, RUBATO_UNSUPPORTED, "rubato.json: exits of the kind \"%.40s\"", kind);
    TRY(json_get_text(&reads, object, "reads", "first", error));
    bool reads_mean = strcmp(reads, "mean") == 0;
    if (!reads_mean && strcmp(reads, "first") != 0)
        return fail(error, RUBATO_UNSUPPORTED, "rubato.json: exits that read \"%.40s\"", reads);
    TRY(read_layers(after, layers, &count, error));
    TRY(open_folder(model, &weights, error));
    loader load = exits_loader(model, &weights, bound, NULL, error);
    rubato_status status = team_create(&load.with.crew, 1, error);
    if (status == RUBATO_OK)
        status = exits_load(&model->exits, &load, exit_kind_find(kind), reads_mean, &model->body, final, layers, count);
    team_destroy(load.with.crew);
    checkpoint_close(&weights);
    TRY(status);
    TRY(exit_setting_read(&model->exits.rule, rule, error));
    for (size_t i = 0; i < json_array_size(temperatures) && i < count; i++) {
        double value = json_number_value(json_array_get(temperatures, i));
        if (!(value > 0 && isfinite(value)))
            return fail(error, RUBATO_BAD_MODEL, "rubato.json: a temperature of %g", value);
        model->exits.heads[layers[i]].temperature = (float)value;
    }
    return RUBATO_OK;
}

rubato_status model_make_exits(rubato_model *model, exit_kind kind, bool reads_mean, const exit_setting *rule,
                               const size_t *layers, size_t count, uint64_t seed, rubato_error *error) {
    const head *final;
    checkpoint weights = {0};
    bool goes_on = model->exits.kind == kind && kind != EXIT_NONE && model->exits.reads_mean == reads_mean;
    unbind(&model->bound);
    if (kind == EXIT_NONE) {
        model->exits = (exits){0};
        return RUBATO_OK;
    }
    TRY(main_head(model, &final, error));
    if (goes_on) TRY(open_folder(model, &weights, error));
    loader load = exits_loader(model, &weights, &model->bound, &seed, error);
    rubato_status status = team_create(&load.with.crew, 1, error);
    if (status == RUBATO_OK)
        status = exits_load(&model->exits, &load, kind, reads_mean, &model->body, final, layers, count);
    team_destroy(load.with.crew);
    if (goes_on) checkpoint_close(&weights);
    model->exits.rule = *rule;
    return status;
}

rubato_status exits_note(const exits *self, json_t *object, rubato_error *error) {
    json_t *made = json_object(), *layers = json_array(), *temperatures = json_array();
    for (size_t i = 0; i < self->depth; i++)
        if (self->heads[i].present) {
            json_add(&layers, json_integer((json_int_t)i));
            json_add(&temperatures, json_real((double)self->heads[i].temperature));
        }
    json_put(&made, "kind", json_string(exit_kind_name(self->kind)));
    json_put(&made, "reads", json_string(self->reads_mean ? "mean" : "first"));
    json_put(&made, "classes", json_integer((json_int_t)self->classes));
    json_put(&made, "layers", layers);
    json_put(&made, "temperatures", temperatures);
    json_put(&made, "rule", exit_setting_object(&self->rule));
    return json_set(object, "exits", made, error);
}
