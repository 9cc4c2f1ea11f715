/* Smoothing of activations for int8. */
#include "task/smooth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/text_buffer.h"
#include "task/encode.h"
#include "task/job.h"

enum { SMOOTH_TEXTS = 128 };

/* The largest absolute values of the inputs of every linear layer that rows pass through. */
typedef struct watching {
    size_t count, widths; /* the number of linear layers; the number of all their inputs */
    linear **layers;      /* [count] in the order of visiting */
    float **largest;      /* [count][inputs] */
} watching;

static void count_inputs(void *user, linear *of, const linear_role *role) {
    watching *w = user;
    (void)role;
    w->count++;
    w->widths += of->in;
}

static void note_layer(void *user, linear *of, const linear_role *role) {
    watching *w = user;
    (void)role;
    if (w->count > 0) w->largest[w->count] = w->largest[w->count - 1] + w->layers[w->count - 1]->in;
    w->layers[w->count++] = of;
}

static void see(void *user, const linear *from, const float *x, size_t stride, size_t rows) {
    const watching *w = user;
    size_t i = 0;
    while (i < w->count && w->layers[i] != from) i++;
    if (i == w->count) return;
    float *largest = w->largest[i];
    for (size_t row = 0; row < rows; row++)
        for (size_t k = 0; k < from->in; k++) largest[k] = fmaxf(largest[k], fabsf(x[row * stride + k]));
}

/* Replaces each channel's largest absolute value by its factor. */
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
        rubato_text_options text = {.size = sizeof text, .max_length = max_length};
        rubato_options options = {.size = sizeof options, .text = &text}, own;
        job work = {.inputs = &input, .count = 1, .options = &own, .head = HEAD_COUNT};
        rubato_status status = engine_options(context->model, RUBATO_FOR_SCORES, &options, &own, &work.text, error);
        if (status == RUBATO_OK) status = engine_run(context, &work, error);
        text_free(&joined);
        TRY(status);
    }
    return RUBATO_OK;
}

rubato_status smoothing_measure(smoothing *self, const char *model, const dataset *data, double strength,
                                size_t max_length, rubato_error *error) {
    rubato_load_options wide = {.size = sizeof wide, .precision = "f32"};
    rubato_context_options one = {.size = sizeof one, .threads = 1}; /* the observer must not be shared by threads */
    rubato_model *of;
    rubato_context *context = NULL;
    *self = (smoothing){0};
    TRY(rubato_model_load_with(&of, model, &wide, error));
    watching seen = {0};
    encoder_visit(&of->body, count_inputs, &seen);
    linear_observer observer = {see, &seen};
    self->values = calloc(size_max(seen.widths, 1), sizeof *self->values);
    self->factors = calloc(size_max(seen.count, 1), sizeof *self->factors);
    seen.layers = calloc(size_max(seen.count, 1), sizeof *seen.layers);
    seen.largest = calloc(size_max(seen.count, 1), sizeof *seen.largest);
    bool fits = self->values && self->factors && seen.layers && seen.largest;
    rubato_status status = fits ? RUBATO_OK : fail_memory(error);
    if (status == RUBATO_OK) {
        seen.largest[0] = self->values;
        seen.count = 0;
        encoder_visit(&of->body, note_layer, &seen);
        status = rubato_context_create(&context, of, &one, error);
    }
    if (status == RUBATO_OK) {
        context->observer = &observer;
        status = run_texts(context, data, max_length, error);
    }
    for (size_t i = 0; i < seen.count && status == RUBATO_OK; i++) {
        self->factors[i] = seen.largest[i];
        status = make_factors(seen.layers[i], seen.largest[i], strength, error);
    }
    free(seen.layers);
    free(seen.largest);
    rubato_context_destroy(context);
    rubato_model_destroy(of);
    if (status != RUBATO_OK) smoothing_free(self);
    return status;
}

void smoothing_free(smoothing *self) {
    free(self->values);
    free(self->factors);
    *self = (smoothing){0};
}
