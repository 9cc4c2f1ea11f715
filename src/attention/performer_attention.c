/* With x' = x size^(-1/4), a feature is exp(w x' - |x'|^2 / 2 - c). c is the largest exponent of a query, or of all
 * keys of the text and head, and leaves the result as it is. The authors' code adds a small number to every feature;
 * here no number is added, so that the weights of keys are exactly products of features. */
#include "attention/performer_attention.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attention/featured.h"
#include "base/checked.h"
#include "base/random.h"

_Static_assert(sizeof(performer_setting) <= SETTING_BYTES, "a setting fits");

enum { FEATURES = 256, MOST_FEATURES = 1 << 14 };
static const float RELU_EPSILON = 1e-3f;

/* Of all layers. */
typedef struct performer_shared {
    const performer_setting *setting;
    float *packed, *straight; /* w for the product with rows x, and for that with rows of features */
    feature_map map;
} performer_shared;

typedef struct performer_weights {
    projections with; /* first, as projections.h has it */
    performer_shared *shared;
} performer_weights;

/* ---- Setting ---- */

static rubato_status configure(void *setting, const json_t *json, rubato_error *error) {
    performer_setting *self = setting;
    const char *kernel;
    size_t seed;
    TRY(json_get_size(&self->features, json, "features", FEATURES, error));
    TRY(json_get_size(&seed, json, "seed", 0, error));
    TRY(json_get_text(&kernel, json, "kernel", "softmax", error));
    self->seed = seed;
    self->relu = strcmp(kernel, "relu") == 0;
    if (!self->relu && strcmp(kernel, "softmax") != 0)
        return fail(error, RUBATO_BAD_MODEL, "kernel \"%.40s\" of Performer's attention: softmax and relu are known",
                    kernel);
    if (self->features == 0 || self->features > MOST_FEATURES)
        return fail(error, RUBATO_BAD_MODEL, "Performer's attention with %zu features", self->features);
    return RUBATO_OK;
}

static rubato_status note(const void *setting, json_t *json, rubato_error *error) {
    const performer_setting *self = setting;
    TRY(json_set(json, "features", json_integer((json_int_t)self->features), error));
    TRY(json_set(json, "seed", json_integer((json_int_t)self->seed), error));
    return json_set(json, "kernel", json_string(self->relu ? "relu" : "softmax"), error);
}

static void describe(const void *setting, char *out, size_t bytes) {
    const performer_setting *self = setting;
    snprintf(out, bytes, "%zu random features%s", self->features, self->relu ? " of relu" : "");
}

/* ---- The rows w ---- */

static double normal_row(double *row, size_t size, uint64_t *state) {
    double square = 0;
    for (size_t i = 0; i < size; i++) {
        row[i] = random_normal(state);
        square += row[i] * row[i];
    }
    return sqrt(square);
}

/* Takes from a row what lies along those before it (Gram and Schmidt), twice for rounding; its length becomes 1. */
static void make_orthogonal(double *rows, size_t count, size_t size) {
    double *row = rows + count * size;
    for (size_t again = 0; again < 2; again++) {
        double square = 0;
        for (size_t j = 0; j < count; j++) {
            double along = 0;
            for (size_t i = 0; i < size; i++) along += row[i] * rows[j * size + i];
            for (size_t i = 0; i < size; i++) row[i] -= along * rows[j * size + i];
        }
        for (size_t i = 0; i < size; i++) square += row[i] * row[i];
        for (size_t i = 0; i < size; i++) row[i] /= sqrt(square);
    }
}

rubato_status performer_draw(const performer_setting *self, size_t size, float *out, rubato_error *error) {
    uint64_t state = random_hash(self->seed + 1);
    double *rows = malloc((size + 1) * size * sizeof *rows);
    if (!rows) return fail_memory(error);
    for (size_t number = 0; number < self->features; number++) {
        double *row = rows + number % size * size;
        normal_row(row, size, &state);
        make_orthogonal(rows, number % size, size);
        const double length = normal_row(rows + size * size, size, &state);
        for (size_t i = 0; i < size; i++) out[number * size + i] = (float)(length * row[i]);
    }
    free(rows);
    return RUBATO_OK;
}

/* ---- Features ---- */

/* size^(-1/4) */
static float scale_of(size_t size) {
    return 1 / sqrtf(sqrtf((float)size));
}

static float largest(const float *x, size_t count) {
    float most = x[0];
    for (size_t i = 1; i < count; i++) most = x[i] > most ? x[i] : most;
    return most;
}

static float map(const void *of, const run *on, bool keys, float *out, const float *x, size_t x_stride, size_t rows,
                 size_t size) {
    const performer_shared *self = of;
    const size_t count = self->setting->features;
    const float scale = scale_of(size);
    on->kernels->product_f32(&(product_f32){.a = x,
                                            .a_stride = x_stride,
                                            .b = self->packed,
                                            .c = out,
                                            .c_stride = count,
                                            .rows = rows,
                                            .columns = count,
                                            .depth = size,
                                            .scale = scale});
    if (self->setting->relu) {
        for (size_t j = 0; j < rows * count; j++) out[j] = (out[j] > 0 ? out[j] : 0) + RELU_EPSILON;
        return 0;
    }
    for (size_t i = 0; i < rows; i++) {
        const float *in = x + i * x_stride;
        const float half = on->kernels->dot_f32(in, in, size) * scale * scale / 2;
        for (size_t j = 0; j < count; j++) out[i * count + j] -= half;
    }
    const size_t together = keys ? rows * count : count; /* scores that share their largest one */
    float most = 0;
    for (size_t at = 0; at < rows * count; at += together) {
        most = largest(out + at, together);
        for (size_t j = at; j < at + together; j++) out[j] -= most;
        on->kernels->exp_f32(out + at, together);
    }
    return most;
}

/* Of exp(w x' - |x'|^2 / 2): dx' = sum d e (w - x'). */
static void map_backward(const void *of, const run *on, float *dx, size_t dx_stride, float *d, const float *features,
                         const float *x, size_t x_stride, size_t rows, size_t size, float *room) {
    const performer_shared *self = of;
    const size_t count = self->setting->features;
    const float scale = scale_of(size);
    for (size_t i = 0; i < rows; i++) {
        float *row = d + i * count, sum = 0;
        for (size_t j = 0; j < count; j++) {
            const float feature = features[i * count + j];
            row[j] *= !self->setting->relu ? feature : feature > RELU_EPSILON ? 1 : 0;
            sum += row[j];
        }
        if (!self->setting->relu)
            on->kernels->gradient->add_scaled(dx + i * dx_stride, x + i * x_stride, -sum * scale * scale, size);
    }
    on->kernels->product_f32(&(product_f32){.a = d,
                                            .a_stride = count,
                                            .b = self->straight,
                                            .c = room,
                                            .c_stride = size,
                                            .rows = rows,
                                            .columns = size,
                                            .depth = count,
                                            .scale = scale});
    for (size_t i = 0; i < rows; i++) on->kernels->gradient->add(dx + i * dx_stride, room + i * size, size);
}

/* ---- Loading ---- */

static rubato_status make_shared(void **out, const part_source *from) {
    const performer_setting *setting = from->setting;
    const size_t size = from->head_size, count = setting->features;
    arena *memory = from->load->with.memory;
    performer_shared *self = arena_take(memory, sizeof *self);
    if (!self) return fail_memory(from->load->error);
    *self = (performer_shared){.setting = setting,
                               .packed = arena_take_array(memory, packed_size(count, size), sizeof(float)),
                               .straight = arena_take_array(memory, packed_size(size, count), sizeof(float)),
                               .map = {.count = count, .room = size, .map = map, .backward = map_backward}};
    *out = self;
    self->map.of = self;
    float *rows = malloc(count * size * sizeof *rows); /* both are bounded */
    rubato_status status = self->packed && self->straight && rows ? RUBATO_OK : fail_memory(from->load->error);
    if (status == RUBATO_OK) status = performer_draw(setting, size, rows, from->load->error);
    if (status == RUBATO_OK) {
        from->load->with.kernels->pack_transposed_f32(self->packed, rows, size, count, size);
        pack_straight_f32(self->straight, rows, size, size, count);
    }
    free(rows);
    return status;
}

static rubato_status load(void **out, const part_source *from) {
    performer_weights *self = arena_take(from->load->with.memory, sizeof *self);
    if (!self) return fail_memory(from->load->error);
    *self = (performer_weights){.shared = from->shared};
    *out = self;
    return projections_load(&self->with, from);
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    const performer_weights *self = weights;
    featured_forward(self, on, in, out, &self->shared->map);
}

/* ---- Costs ---- */

/* A feature takes a product with w, and then its part of the sums. */
static double products(const performer_setting *self, double keys, double queries, double width) {
    return 2 * featured_products((double)self->features, keys, queries, width);
}

static operations count(const void *setting, const part_extent *of) {
    operations sum = projections_count(of);
    const double width = (double)(of->units * of->unit_size);
    sum.keys += products(setting, (double)of->rows.entering, 0, width);
    sum.queries += products(setting, 0, (double)of->rows.queries, width);
    return sum;
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    const performer_weights *self = weights;
    const double rows = (double)(sequences * length), width = (double)(self->with.heads * self->with.head_size);
    (void)kernels;
    return projections_demand(&self->with, products(self->shared->setting, rows, rows, width), sequences, length);
}

const attending attending_performer = {
    .part = {.name = "performer", .foreign = true, .configure = configure, .note = note, .describe = describe},
    .yields_received = true,
    .fewer_queries = true,
    .narrows = true,
    .make_shared = make_shared,
    .decodes = true,
    .continues = true,
    .load = load,
    .allow_narrow = projections_allow_narrow,
    .forward = forward,
    .visit = projections_visit,
    .count = count,
    .demand = demand};
