/* Calibrations, kept in the user's cache: one file for each processor, instruction set, precision, number of threads
 * and model shape. */
#include "task/calibration.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/text_buffer.h"
#include "task/machine.h"

enum { MAX_FILE = 1 << 20 };

/* ---- Where it is kept ---- */

static uint64_t hash_text(uint64_t hash, const char *text) {
    for (; *text; text++) hash = random_hash(hash ^ (unsigned char)*text);
    return hash;
}

/* Layers of another mechanism or setting take other times, so they change the key. The default one is left out. */
static uint64_t hash_part(uint64_t hash, const part_choice *part, const part_table *all) {
    char text[256];
    part_describe(part, text, sizeof text);
    return strcmp(text, all->kinds[0]->name) == 0 ? hash : hash_text(hash, text);
}

/* Nor are the widths of layers that are all the same. */
static uint64_t hash_widths(uint64_t hash, const encoder_config *config) {
    for (size_t i = 0; config->uneven && i < config->layers; i++)
        hash = random_hash(random_hash(hash ^ config->widths[i].heads) ^ config->widths[i].inner);
    return hash;
}

static rubato_status cache_path(const rubato_context *context, char *out, size_t bytes, rubato_error *error) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const encoder_config *config = &context->model->body.config;
    char processor[96];
    TRY(machine_processor(processor, sizeof processor, error));
    uint64_t hash = 0;
    hash = hash_text(hash, processor);
    hash = hash_part(hash, &config->attention, &attending_table);
    hash = hash_part(hash, &config->feeding, &feeding_table);
    if (config->other_attention_layers) {
        hash = random_hash(hash ^ config->other_attention_layers);
        hash = hash_part(hash, &config->other_attention, &attending_table);
    }
    if (config->other_layers) {
        hash = random_hash(hash ^ config->other_layers);
        hash = hash_part(hash, &config->other_feeding, &feeding_table);
    }
    hash = hash_widths(hash, config);
    int written = snprintf(out, bytes, "%s%s/rubato/cost-%s-%s-%zut-%zux%zux%zux%zu-%zur-%08x.json",
                           cache && *cache ? cache
                           : home          ? home
                                           : "",
                           cache && *cache ? "" : "/.cache", context->kernels->name, context->model->info.precision,
                           team_size(context->crew), context->model->body.depth, config->hidden, config->inner,
                           config->heads, context->batch_tokens, (unsigned)(hash & 0xffffffff));
    if (written < 0 || (size_t)written >= bytes || out[0] != '/')
        return fail(error, RUBATO_IO, "no folder for caches: HOME and XDG_CACHE_HOME say nothing usable");
    return RUBATO_OK;
}

rubato_status calibration_create(rubato_calibration **out, const rubato_context *context, rubato_error *error) {
    char path[4200];
    *out = NULL;
    TRY(cache_path(context, path, sizeof path, error));
    rubato_calibration *made = calloc(1, sizeof *made);
    if (!made) return fail_memory(error);
    made->uses = 1;
    made->path = text_copy(path, strlen(path));
    made->times = (cost_model){
        .threads = team_size(context->crew), .batch_rows = context->batch_tokens, .least_rows = ENGINE_LEAST_ROWS};
    if (made->path)
        *out = made;
    else
        rubato_calibration_destroy(made);
    return *out ? RUBATO_OK : fail_memory(error);
}

void rubato_calibration_destroy(rubato_calibration *self) {
    if (!self || atomic_fetch_sub(&self->uses, 1) > 1) return;
    free(self->path);
    free(self);
}

rubato_status rubato_context_set_calibration(rubato_context *context, rubato_calibration *calibration,
                                             rubato_error *error) {
    char path[4200];
    if (calibration) {
        TRY(cache_path(context, path, sizeof path, error));
        if (strcmp(strrchr(path, '/'), strrchr(calibration->path, '/')) != 0)
            return fail(error, RUBATO_BAD_ARGUMENT,
                        "the calibration is for another model shape, precision, threads or instruction set");
        atomic_fetch_add(&calibration->uses, 1);
    }
    rubato_calibration_destroy(context->calibration);
    context->calibration = calibration;
    context->times = calibration ? &calibration->times : NULL;
    return RUBATO_OK;
}

/* ---- Files ---- */

static const struct {
    const char *name;
    size_t offset;
    bool lacks; /* models without that part have no such curve */
} curves[] = {{"attention", offsetof(cost_parts, attention), false},
              {"forward", offsetof(cost_parts, forward), false},
              {"memory", offsetof(cost_parts, memory), true},
              {"heads", offsetof(cost_parts, heads), false},
              {"outside", offsetof(cost_parts, outside), false}};

static json_t *write_parts(const cost_parts *parts) {
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        const cost_curve *curve = (const cost_curve *)(const void *)((const char *)parts + curves[i].offset);
        if (curve->count == 0 && curves[i].lacks) continue;
        json_t *list = json_array();
        for (size_t j = 0; j < curve->count; j++) json_add(&list, json_pack("[ff]", curve->x[j], curve->ms[j]));
        json_put(&object, curves[i].name, list);
    }
    return object;
}

static json_t *write_pair(const cost_parts *alone, const cost_parts *together) {
    json_t *object = json_object();
    json_put(&object, "alone", write_parts(alone));
    json_put(&object, "together", write_parts(together));
    return object;
}

static rubato_status read_parts(cost_parts *parts, const json_t *object, rubato_error *error) {
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        cost_curve *curve = (cost_curve *)(void *)((char *)parts + curves[i].offset);
        const json_t *list = json_object_get(object, curves[i].name);
        curve->count = json_array_size(list);
        if (!list && curves[i].lacks) continue;
        if (curve->count == 0 || curve->count > COST_SAMPLES)
            return fail(error, RUBATO_BAD_DATA, "cost model: curve \"%s\" is missing or too long", curves[i].name);
        for (size_t j = 0; j < curve->count; j++) {
            const json_t *pair = json_array_get(list, j);
            curve->x[j] = json_number_value(json_array_get(pair, 0));
            curve->ms[j] = json_number_value(json_array_get(pair, 1));
            if (!(curve->ms[j] >= 0) || !isfinite(curve->ms[j]) || (j && !(curve->x[j] > curve->x[j - 1])))
                return fail(error, RUBATO_BAD_DATA, "cost model: curve \"%s\" is damaged", curves[i].name);
        }
    }
    return RUBATO_OK;
}

rubato_status calibration_write(const rubato_calibration *self, rubato_error *error) {
    const cost_model *times = &self->times;
    char folder[4200];
    json_t *object = write_pair(&times->alone, &times->together);
    if (times->has_low) json_put(&object, "narrow", write_pair(&times->low_alone, &times->low_together));
    if (!object) return fail_memory(error);
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(self->path, '/') - self->path), self->path);
    rubato_status status = folder_create(folder, error);
    if (status == RUBATO_OK)
        status = json_write_file(object, self->path, JSON_INDENT(1) | JSON_REAL_PRECISION(6), error);
    json_decref(object);
    return status;
}

static rubato_status read_file(rubato_calibration *self, const rubato_context *context, rubato_error *error) {
    json_t *object;
    cost_model *times = &self->times;
    if (!file_exists(self->path))
        return fail(error, RUBATO_NOT_FOUND,
                    "no cost model of %s with %zu threads on this machine; run rubato calibrate first",
                    context->model->path, times->threads);
    TRY(json_read_file(&object, self->path, MAX_FILE, error));
    const json_t *low = json_object_get(object, "narrow");
    times->has_low = low != NULL;
    rubato_status status = read_parts(&times->alone, json_object_get(object, "alone"), error);
    if (status == RUBATO_OK) status = read_parts(&times->together, json_object_get(object, "together"), error);
    if (status == RUBATO_OK && low) status = read_parts(&times->low_alone, json_object_get(low, "alone"), error);
    if (status == RUBATO_OK && low) status = read_parts(&times->low_together, json_object_get(low, "together"), error);
    json_decref(object);
    return status == RUBATO_OK ? RUBATO_OK : fail_within(error, status, self->path);
}

rubato_status rubato_calibration_load(const rubato_context *context, rubato_calibration **calibration,
                                      rubato_error *error) {
    *calibration = NULL;
    rubato_calibration *made;
    TRY(calibration_create(&made, context, error));
    rubato_status status = read_file(made, context, error);
    if (status == RUBATO_OK)
        *calibration = made;
    else
        rubato_calibration_destroy(made);
    return status;
}

/* ---- Asking ---- */

double rubato_predict_ms(const rubato_context *context, const char *point_name, size_t length, size_t count) {
    const rubato_model *model = context->model;
    const point *at = NULL;
    for (size_t i = 0; point_name && i < model->points.count; i++)
        if (strcmp(model->points.points[i].name, point_name) == 0) at = &model->points.points[i];
    return context->times ? cost_model_ms(context->times, at, &model->body.shape, length, count) : NAN;
}
