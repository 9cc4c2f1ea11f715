/* Ordering heads and neurons by importance. */
#include "train/rewire.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "task/context.h"

enum { MOST_SAMPLES = 2048, MOST_TOKENS = 1 << 17 };

/* Importance of one layer's heads and neurons. */
typedef struct importance {
    const layer *of;
    double *heads, *neurons; /* [of->heads], [of->inner] */
} importance;

/* The sum of W dW over the inputs [first, first + count) of a layer, or with `of_output` over one output and its
 * bias. */
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

/* The importance of a head comes from the inputs that the head feeds; that of a neuron from its own outputs and the
 * inputs that it feeds. */
static void add_linear(void *user, linear *from, const linear_role *role) {
    importance *mine = user;
    size_t heads = mine->of->heads, size = mine->of->head_size, inner = mine->of->inner;
    for (size_t a = 0; role->inputs == AXIS_HEADS && a < heads; a++)
        mine->heads[a] += fabs(product_with_gradient(from, a * size, size, false));
    for (size_t part = 0; role->outputs == AXIS_NEURONS && part < role->stacked; part++)
        for (size_t j = 0; j < inner; j++)
            mine->neurons[j] += fabs(product_with_gradient(from, part * inner + j, 1, true));
    for (size_t j = 0; role->inputs == AXIS_NEURONS && j < inner; j++)
        mine->neurons[j] += fabs(product_with_gradient(from, j, 1, false));
}

/* Adds the importance for one batch; room [heads + inner] of the largest layer. */
static void add_batch(const encoder *body, importance *sums, double *room) {
    for (size_t i = 0; i < body->unique; i++) {
        size_t heads = sums[i].of->heads, inner = sums[i].of->inner;
        importance mine = {sums[i].of, room, room + heads};
        memset(room, 0, (heads + inner) * sizeof *room);
        layer_visit(sums[i].of, add_linear, &mine);
        for (size_t a = 0; a < heads; a++) sums[i].heads[a] += mine.heads[a];
        for (size_t j = 0; j < inner; j++) sums[i].neurons[j] += mine.neurons[j];
    }
}

static rubato_status one_batch(trainer *self, const sample *const *some, size_t count, rubato_error *error) {
    tape recording = {0};
    rubato_status done = RUBATO_OK;
    run on = trainer_on(self, &done, &recording);
    portion part;
    encoded out;
    if (!portion_create(&part, self, some, count, 0, &self->memory)) return fail_memory(error);
    encoder_forward(&self->model->body, &on, &part.packed, NULL, &out);
    portion_loss(self, &on, &out, &part, NULL, (divergence){.from_full = true}, NULL,
                 1.0 / (double)size_max(part.items, 1));
    tape_backward(&on);
    return run_result(&on, error);
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

/* order[i] is the index of place i, the most important first. */
static void sort(const double *worth, size_t count, ranked *room, size_t *order) {
    for (size_t i = 0; i < count; i++) room[i] = (ranked){worth[i], i};
    qsort(room, count, sizeof *room, by_worth);
    for (size_t i = 0; i < count; i++) order[i] = room[i].index;
}

/* Puts rows and columns (NULL: unchanged) of a layer into a new order. */
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

/* Puts a layer's linear layers into a new order. */
typedef struct reordering {
    const layer *of;
    const kernel_table *kernels;
    const size_t *heads, *neurons; /* the index of the unit for each place */
    size_t *rows, *columns;        /* scratch for the order of features */
    rubato_status status;
    rubato_error *error;
} reordering;

/* The order of the features of `stacked` copies of all units; NULL where they stay as they are. */
static const size_t *feature_order(const reordering *r, linear_axis kind, size_t stacked, size_t *out) {
    if (kind == AXIS_HIDDEN) return NULL;
    const size_t *order = kind == AXIS_HEADS ? r->heads : r->neurons;
    size_t units = kind == AXIS_HEADS ? r->of->heads : r->of->inner, size = kind == AXIS_HEADS ? r->of->head_size : 1;
    for (size_t part = 0; part < stacked; part++)
        for (size_t unit = 0; unit < units; unit++)
            for (size_t j = 0; j < size; j++)
                out[(part * units + unit) * size + j] = (part * units + order[unit]) * size + j;
    return out;
}

static void reorder_linear(void *user, linear *of, const linear_role *role) {
    reordering *r = user;
    const size_t *rows = feature_order(r, role->outputs, role->stacked, r->rows);
    const size_t *columns = feature_order(r, role->inputs, 1, r->columns);
    if (r->status == RUBATO_OK && (rows || columns)) r->status = reorder(of, rows, columns, r->kernels, r->error);
}

static void count_features(void *user, linear *of, const linear_role *role) {
    size_t *most = user;
    (void)role;
    *most = size_max(*most, size_max(of->in, of->out));
}

static rubato_status reorder_layer(const trainer *self, const importance *by, rubato_error *error) {
    size_t most = 0, heads = by->of->heads, inner = by->of->inner;
    layer_visit(by->of, count_features, &most);
    ranked *room = malloc(size_max(heads, inner) * sizeof *room);
    size_t *orders = malloc((heads + inner + 2 * most) * sizeof *orders);
    rubato_status status = room && orders ? RUBATO_OK : fail_memory(error);
    if (status == RUBATO_OK) {
        reordering all = {.of = by->of,
                          .kernels = self->context->kernels,
                          .heads = orders,
                          .neurons = orders + heads,
                          .rows = orders + heads + inner,
                          .columns = orders + heads + inner + most,
                          .error = error};
        sort(by->heads, heads, room, orders);
        sort(by->neurons, inner, room, orders + heads);
        layer_visit(by->of, reorder_linear, &all);
        status = all.status;
    }
    free(room);
    free(orders);
    return status;
}

/* Nothing is saved yet: a run that stops here starts from the beginning. */
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

/* Allocates the importance of every layer in one block that begins at (*sums)[0].heads; *room is for one batch. */
static rubato_status importance_create(const encoder *body, importance **sums, double **room, rubato_error *error) {
    size_t all = 0, most = 0;
    for (size_t i = 0; i < body->unique; i++) {
        size_t each = body->layers[i].heads + body->layers[i].inner;
        all += each;
        most = size_max(most, each);
    }
    *sums = calloc(size_max(body->unique, 1), sizeof **sums);
    *room = calloc(size_max(most, 1), sizeof **room);
    double *at = calloc(size_max(all, 1), sizeof *at);
    if (*sums) (*sums)[0].heads = at;
    if (!*sums || !*room || !at) {
        if (!*sums) free(at);
        return fail_memory(error);
    }
    for (size_t i = 0; i < body->unique; i++) {
        const layer *of = &body->layers[i];
        (*sums)[i] = (importance){of, at, at + of->heads};
        at += of->heads + of->inner;
    }
    return RUBATO_OK;
}

rubato_status rewire(trainer *self, rubato_error *error) {
    const encoder *body = &self->model->body;
    size_t count = size_min(self->data.count, MOST_SAMPLES);
    size_t mean = size_max(self->data.tokens / size_max(self->data.count, 1), 1);
    count = size_max(size_min(count, MOST_TOKENS / mean), 1);
    if (!config_sorts_heads(&body->config))
        return fail(error, RUBATO_UNSUPPORTED, "heads of %s attention cannot be sorted; use --widths 1",
                    body->config.attention.kind->name);
    importance *sums = NULL;
    double *room = NULL;
    const sample **chosen = malloc(self->batch * sizeof *chosen);
    rubato_status status = importance_create(body, &sums, &room, error);
    if (status == RUBATO_OK && !chosen) status = fail_memory(error);
    /* spread over the data, which may be sorted */
    for (size_t first = 0; first < count && status == RUBATO_OK; first += self->batch) {
        size_t some = size_min(self->batch, count - first);
        arena_reset(&self->drawn);
        for (size_t i = 0; i < some && status == RUBATO_OK; i++) {
            chosen[i] = samples_at(&self->data, (first + i) * self->data.count / count, &self->drawn);
            if (!chosen[i]) status = fail_memory(error);
        }
        if (status == RUBATO_OK) status = one_batch(self, chosen, some, error);
        arena_reset(&self->memory);
        if (status == RUBATO_OK) add_batch(body, sums, room);
        parameters_clear(&self->params);
        if (status == RUBATO_OK) status = tell(self, first + some, count, error);
    }
    for (size_t i = 0; i < body->unique && status == RUBATO_OK; i++) status = reorder_layer(self, &sums[i], error);
    parameters_refresh(&self->params, self->context->crew, self->context->kernels);
    if (sums) free(sums[0].heads);
    free(sums);
    free(room);
    free(chosen);
    return status;
}
