/* Linear Transformer (Katharopoulos et al. 2020): the features of x are elu(x) + 1, as many as the head has columns. */
#include <string.h>

#include "attention/featured.h"
#include "base/checked.h"

typedef struct linear_attention {
    projections with; /* first, as projections.h has it */
    feature_map map;
} linear_attention;

/* elu(x) + 1 = max(x, 0) + exp(min(x, 0)). */
static float map(const void *of, const run *on, bool keys, float *out, const float *x, size_t x_stride, size_t rows,
                 size_t size) {
    (void)of;
    (void)keys;
    for (size_t i = 0; i < rows; i++) {
        const float *in = x + i * x_stride;
        float *to = out + i * size;
        for (size_t j = 0; j < size; j++) to[j] = in[j] < 0 ? in[j] : 0;
        on->kernels->exp_f32(to, size);
        for (size_t j = 0; j < size; j++) to[j] += in[j] > 0 ? in[j] : 0;
    }
    return 0;
}

/* The slope is 1 for positive x, else the feature itself. */
static void map_backward(const void *of, const run *on, float *dx, size_t dx_stride, float *d, const float *features,
                         const float *x, size_t x_stride, size_t rows, size_t size, float *room) {
    (void)of;
    (void)on;
    (void)room;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < size; j++)
            dx[i * dx_stride + j] += d[i * size + j] * (x[i * x_stride + j] > 0 ? 1 : features[i * size + j]);
}

static rubato_status load(void **out, const part_source *from) {
    linear_attention *self = arena_take(from->load->with.memory, sizeof *self);
    if (!self) return fail_memory(from->load->error);
    *self = (linear_attention){.map = {.count = from->head_size, .map = map, .backward = map_backward}};
    *out = self;
    return projections_load(&self->with, from);
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    const linear_attention *self = weights;
    featured_forward(self, on, in, out, &self->map);
}

static operations count(const void *setting, const part_extent *of) {
    operations sum = projections_count(of);
    const double features = (double)of->unit_size, width = (double)(of->units * of->unit_size);
    (void)setting;
    sum.keys += featured_products(features, (double)of->rows.entering, 0, width);
    sum.queries += featured_products(features, 0, (double)of->rows.queries, width);
    return sum;
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    const linear_attention *self = weights;
    const double rows = (double)(sequences * length), width = (double)(self->with.heads * self->with.head_size);
    (void)kernels;
    return projections_demand(&self->with, featured_products((double)self->map.count, rows, rows, width), sequences,
                              length);
}

const attending attending_linear = {.part = {.name = "linear", .foreign = true},
                                    .yields_received = true,
                                    .fewer_queries = true,
                                    .narrows = true,
                                    .decodes = true,
                                    .continues = true,
                                    .load = load,
                                    .allow_narrow = projections_allow_narrow,
                                    .forward = forward,
                                    .visit = projections_visit,
                                    .count = count,
                                    .demand = demand};
