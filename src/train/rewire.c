/* Ordering heads and neurons by importance. */
#include "train/rewire.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "task/context.h"

enum { MOST_SAMPLES = 2048, MOST_TOKENS = 1 << 17 };

typedef struct importance {
    double *heads, *neurons; /* [unique layers][heads], [..][inner] */
} importance;

/* Sum of W dW over the inputs [first, first + count) of a layer, or with `of_output` over one output and its bias. */
static double product_with_gradient(const linear *layer_of, size_t first, size_t count, bool of_output) {
    const float *w = layer_of->packed, *g = layer_of->learn->weight;
    double sum = 0;
    size_t in = layer_of->in;
    if (of_output) {
        size_t base = first / PANEL * PANEL * in + first % PANEL;
        for (size_t k = 0; k < in; k++) sum += (double)w[base + k * PANEL] * (double)g[base + k * PANEL];
        if (layer_of->bias) sum += (double)layer_of->bias[first] * (double)layer_of->learn->bias[first];
        return sum;
    }
    for (size_t panel = 0; panel * PANEL < layer_of->out; panel++)
        for (size_t k = first; k < first + count; k++) {
            size_t base = (panel * in + k) * PANEL, width = size_min(PANEL, layer_of->out - panel * PANEL);
            for (size_t j = 0; j < width; j++) sum += (double)w[base + j] * (double)g[base + j];
        }
    return sum;
}

static void add_batch(const encoder *body, importance *sums) {
    size_t heads = body->config.heads, size = body->config.hidden / heads, inner = body->config.inner;
    for (size_t i = 0; i < body->unique; i++) {
        const layer *at = &body->layers[i];
        for (size_t a = 0; a < heads; a++)
            sums->heads[i * heads + a] += fabs(product_with_gradient(&at->attention_out, a * size, size, false));
        for (size_t j = 0; j < inner; j++)
            sums->neurons[i * inner + j] +=
                fabs(product_with_gradient(&at->up, j, 1, true)) + fabs(product_with_gradient(&at->down, j, 1, false));
    }
}

static rubato_status one_batch(trainer *self, const sample *const *some, size_t count, rubato_error *error) {
    tape recording = {0};
    run on = {
        .kernels = self->context->kernels, .crew = self->context->crew, .memory = &self->memory, .tape = &recording};
    portion part;
    encoded out;
    if (!portion_create(&part, self, some, count, 0, &self->memory)) return fail_memory(error);
    encoder_forward(&self->model->body, &on, &part.packed, NULL, &out, NULL, NULL);
    if (!out.rows.data) return fail_memory(error);
    portion_loss(self, &on, &out, &part, NULL, DIVERGENCE_FROM_FULL, NULL, 1.0 / (double)size_max(part.items, 1));
    if (!recording.failed) tape_backward(&on);
    return recording.failed ? fail_memory(error) : RUBATO_OK;
}

/* ---- Sorting ---- */

typedef struct ranked {
    double worth;
    size_t index;
} ranked;

static int by_worth(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->worth != y->worth) return x->worth > y->worth ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* order[i]: who comes at place i, the most important first. */
static void sort(const double *worth, size_t count, ranked *room, size_t *order) {
    for (size_t i = 0; i < count; i++) room[i] = (ranked){worth[i], i};
    qsort(room, count, sizeof *room, by_worth);
    for (size_t i = 0; i < count; i++) order[i] = room[i].index;
}

/* Rows and columns (NULL: as they are) of a layer in a new order. */
static rubato_status reorder(linear *layer_of, const size_t *rows, const size_t *columns, const kernel_table *kernels,
                             rubato_error *error) {
    size_t in = layer_of->in, out = layer_of->out;
    float *old = malloc(out * in * sizeof *old), *new = malloc(out * in * sizeof *new);
    float *bias = malloc(out * sizeof *bias);
    rubato_status status = old && new &&bias ? RUBATO_OK : fail_memory(error);
    if (status == RUBATO_OK) {
        linear_unpack(layer_of, 0, out, old);
        for (size_t i = 0; i < out; i++)
            for (size_t k = 0; k < in; k++)
                new[i * in + k] = old[(rows ? rows[i] : i) * in + (columns ? columns[k] : k)];
        kernels->pack_transposed_f32(layer_of->packed, new, in, out, in);
        for (size_t i = 0; rows && layer_of->bias && i < out; i++) bias[i] = layer_of->bias[rows[i]];
        if (rows && layer_of->bias) memcpy(layer_of->bias, bias, out * sizeof *bias);
    }
    free(old);
    free(new);
    free(bias);
    return status;
}

static rubato_status reorder_layer(const trainer *self, layer *at, const double *heads, const double *neurons,
                                   rubato_error *error) {
    const encoder_config *config = &self->model->body.config;
    size_t size = config->hidden / config->heads, most = size_max(config->inner, config->hidden);
    ranked *room = malloc(most * sizeof *room);
    size_t *order = malloc(most * sizeof *order), *whole = malloc(3 * config->hidden * sizeof *whole);
    rubato_status status = room && order && whole ? RUBATO_OK : fail_memory(error);
    const kernel_table *kernels = self->context->kernels;
    if (status == RUBATO_OK) {
        sort(heads, config->heads, room, order);
        for (size_t part = 0; part < 3; part++)
            for (size_t a = 0; a < config->heads; a++)
                for (size_t j = 0; j < size; j++)
                    whole[part * config->hidden + a * size + j] = part * config->hidden + order[a] * size + j;
        status = reorder(&at->qkv, whole, NULL, kernels, error);
        if (status == RUBATO_OK) status = reorder(&at->attention_out, NULL, whole, kernels, error);
        sort(neurons, config->inner, room, order);
        if (status == RUBATO_OK) status = reorder(&at->up, order, NULL, kernels, error);
        if (status == RUBATO_OK) status = reorder(&at->down, NULL, order, kernels, error);
    }
    free(room);
    free(order);
    free(whole);
    return status;
}

/* Nothing is saved yet: whoever stops here begins anew. */
static rubato_status tell(const trainer *self, size_t done, size_t count, rubato_error *error) {
    double seconds = (clock_ms() - self->begun_ms) / 1e3;
    rubato_train_progress progress = {.phase = "sorting heads and neurons",
                                      .step = done,
                                      .steps = count,
                                      .loss = NAN,
                                      .seconds = seconds,
                                      .seconds_left = seconds / (double)done * (double)(count - done)};
    if (self->options->progress && self->options->progress(self->options->progress_user, &progress))
        return fail(error, RUBATO_CANCELLED, "stopped while heads and neurons were sorted");
    return RUBATO_OK;
}

rubato_status rewire(trainer *self, rubato_error *error) {
    const encoder *body = &self->model->body;
    size_t heads = body->config.heads, inner = body->config.inner, count = size_min(self->data.count, MOST_SAMPLES);
    size_t mean = size_max(self->data.tokens / size_max(self->data.count, 1), 1);
    count = size_max(size_min(count, MOST_TOKENS / mean), 1);
    if (body->bias) /* its relative bias has heads of its own */
        return fail(error, RUBATO_UNSUPPORTED, "heads with a relative bias cannot be sorted");
    importance sums = {calloc(body->unique * heads, sizeof(double)), calloc(body->unique * inner, sizeof(double))};
    const sample **chosen = malloc(self->batch * sizeof *chosen);
    rubato_status status = sums.heads && sums.neurons && chosen ? RUBATO_OK : fail_memory(error);
    /* spread over the data, which may be sorted */
    for (size_t first = 0; first < count && status == RUBATO_OK; first += self->batch) {
        size_t some = size_min(self->batch, count - first);
        for (size_t i = 0; i < some; i++) chosen[i] = &self->data.items[(first + i) * self->data.count / count];
        status = one_batch(self, chosen, some, error);
        arena_reset(&self->memory);
        if (status == RUBATO_OK) add_batch(body, &sums);
        for (size_t i = 0; i < self->params.count; i++)
            memset(self->params.items[i].gradient, 0, self->params.items[i].count * sizeof(float));
        if (status == RUBATO_OK) status = tell(self, first + some, count, error);
    }
    for (size_t i = 0; i < body->unique && status == RUBATO_OK; i++)
        status = reorder_layer(self, &body->layers[i], sums.heads + i * heads, sums.neurons + i * inner, error);
    parameters_refresh(&self->params, self->context->crew, self->context->kernels);
    free(sums.heads);
    free(sums.neurons);
    free(chosen);
    return status;
}
