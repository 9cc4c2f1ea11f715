/* Smoothing of activations for int8. */
#include "task/smooth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/text_buffer.h"
#include "task/job.h"

enum { SMOOTH_TEXTS = 128, PARTS = 4 };

typedef struct watching {
    const encoder *body;
    float *largest; /* [unique][hidden, hidden, hidden, inner] */
    size_t each;
} watching;

static const linear *part_of(const layer *at, size_t part) {
    const linear *parts[PARTS] = {&at->qkv, &at->attention_out, &at->up, &at->down};
    return parts[part];
}

static void see(void *user, const linear *from, const float *x, size_t stride, size_t rows) {
    const watching *w = user;
    for (size_t i = 0; i < w->body->unique; i++)
        for (size_t part = 0; part < PARTS; part++) {
            if (part_of(&w->body->layers[i], part) != from) continue;
            float *largest = w->largest + i * w->each + part * w->body->config.hidden;
            for (size_t row = 0; row < rows; row++)
                for (size_t k = 0; k < from->in; k++) largest[k] = fmaxf(largest[k], fabsf(x[row * stride + k]));
            return;
        }
}

/* In place of the channel's largest size its factor. */
static rubato_status make_factors(const linear *from, float *largest, double strength, rubato_error *error) {
    float *rows = malloc(PANEL * from->in * sizeof *rows), *weights = calloc(from->in, sizeof *weights);
    rubato_status status = rows && weights ? RUBATO_OK : fail_memory(error);
    for (size_t first = 0; first < from->out && status == RUBATO_OK; first += PANEL) {
        size_t count = size_min(PANEL, from->out - first);
        linear_unpack(from, first, count, rows);
        for (size_t i = 0; i < count; i++)
            for (size_t k = 0; k < from->in; k++) weights[k] = fmaxf(weights[k], fabsf(rows[i * from->in + k]));
    }
    for (size_t k = 0; k < from->in && status == RUBATO_OK; k++) {
        double x = fmax((double)largest[k], 1e-5), w = fmax((double)weights[k], 1e-5);
        largest[k] = (float)fmin(fmax(pow(w, 1 - strength) / pow(x, strength), 1e-3), 1e3);
    }
    free(rows);
    free(weights);
    return status;
}

static rubato_status run_texts(rubato_context *context, const dataset *data, size_t max_length, rubato_error *error) {
    size_t step = divide_up(data->count, SMOOTH_TEXTS);
    for (size_t i = 0; i < data->count; i += step) {
        const example *item = &data->items[i];
        text_buffer joined = {0};
        for (size_t j = 0; j < item->word_count; j++) text_add_format(&joined, "%s ", item->words[j]);
        rubato_input input = {.text = item->word_count ? joined.data : item->text, .pair = item->pair};
        rubato_options options = {.text = {.max_length = max_length}};
        job work = {.inputs = &input, .count = 1, .options = &options, .head = HEAD_COUNT};
        rubato_status status = engine_text_options(context->model, &options, &work.text, error);
        work.text.windows = 0;
        if (status == RUBATO_OK) status = engine_run(context, &work, error);
        text_free(&joined);
        TRY(status);
    }
    return RUBATO_OK;
}

rubato_status smoothing_measure(smoothing *self, const char *model, const dataset *data, double strength,
                                size_t max_length, rubato_error *error) {
    rubato_load_options wide = {.precision = "f32"};
    rubato_context_options one = {.threads = 1}; /* the observer is not to be shared */
    rubato_model *of;
    rubato_context *context = NULL;
    *self = (smoothing){0};
    TRY(rubato_model_load_with(&of, model, &wide, error));
    const encoder *body = &of->body;
    watching seen = {.body = body, .each = 3 * body->config.hidden + body->config.inner};
    linear_observer observer = {see, &seen};
    self->factors = calloc(size_max(body->unique * seen.each, 1), sizeof *self->factors);
    self->layers = calloc(size_max(body->unique, 1), sizeof *self->layers);
    seen.largest = self->factors;
    rubato_status status = self->factors && self->layers ? RUBATO_OK : fail_memory(error);
    if (status == RUBATO_OK) status = rubato_context_create(&context, of, &one, error);
    if (status == RUBATO_OK) {
        context->observer = &observer;
        status = run_texts(context, data, max_length, error);
    }
    for (size_t i = 0; i < body->unique && status == RUBATO_OK; i++) {
        float *at = self->factors + i * seen.each;
        self->layers[i] =
            (layer_smoothing){at, at + body->config.hidden, at + 2 * body->config.hidden, at + 3 * body->config.hidden};
        for (size_t part = 0; part < PARTS && status == RUBATO_OK; part++)
            status = make_factors(part_of(&body->layers[i], part), at + part * body->config.hidden, strength, error);
    }
    rubato_context_destroy(context);
    rubato_model_destroy(of);
    if (status != RUBATO_OK) smoothing_free(self);
    return status;
}

void smoothing_free(smoothing *self) {
    free(self->layers);
    free(self->factors);
    *self = (smoothing){0};
}
