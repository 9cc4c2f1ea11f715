/* The bias by distance. */
#include "attention/distance_bias.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

/* ---- Parameters ---- */

/* The bucket of a distance key - query: half of the buckets for each direction; half of those exact, the others
 * logarithmic up to 128 (Raffel et al. 2019, as in MPNet). Computed in float as written, because the logarithm's
 * rounding decides at powers of two. */
static size_t distance_bucket(long distance, size_t buckets) {
    size_t half = buckets / 2, exact = half / 2;
    size_t base = distance < 0 ? 0 : half;
    size_t n = (size_t)labs(distance);
    /* the reference counts query - key, so keys to the right are in the upper half */
    if (n == 0) base = 0;
    if (n < exact) return base + n;
    float far = logf((float)n / (float)exact) / (float)log(128.0 / (double)exact) * (float)(half - exact);
    return base + size_min(half - 1, exact + (size_t)far);
}

rubato_status distance_bias_load(loader *load, distance_bias *out, const char *name, size_t buckets, size_t heads,
                                 size_t longest) {
    *out = (distance_bias){.heads = heads, .reach = longest};
    TRY(loader_stored(load, &out->buckets, BOUND_TABLE, name, buckets, heads));
    size_t elements;
    if (!checked_multiply(2 * out->reach + 1, heads, &elements)) return fail_memory(load->error);
    out->values = arena_take_array(load->with.memory, elements, sizeof *out->values);
    if (load->bound) out->grad = arena_take_array(load->with.memory, elements, sizeof *out->grad);
    if (!out->values || (load->bound && !out->grad)) return fail_memory(load->error);
    if (out->grad) memset(out->grad, 0, elements * sizeof *out->grad);
    distance_bias_spread(out);
    if (!all_finite(out->values, elements))
        return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s\" holds NaN or infinity", name);
    return RUBATO_OK;
}

/* Slope `at` of 2^k heads. */
static double slope_of(size_t power, size_t at) {
    return exp2(-8.0 / (double)power * (double)(at + 1));
}

rubato_status distance_bias_fall(loader *load, distance_bias *out, size_t heads, size_t longest) {
    size_t elements, power = 1;
    *out = (distance_bias){.heads = heads, .reach = longest};
    if (!checked_multiply(2 * longest + 1, heads, &elements)) return fail_memory(load->error);
    out->values = arena_take_array(load->with.memory, elements, sizeof *out->values);
    if (!out->values) return fail_memory(load->error);
    while (2 * power <= heads) power *= 2;
    for (size_t head = 0; head < heads; head++) {
        const float slope = (float)(head < power ? slope_of(power, head) : slope_of(2 * power, 2 * (head - power)));
        for (size_t i = 0; i < 2 * longest + 1; i++)
            out->values[head * (2 * longest + 1) + i] = -slope * fabsf((float)i - (float)longest);
    }
    return RUBATO_OK;
}

void distance_bias_spread(distance_bias *self) {
    size_t width = 2 * self->reach + 1;
    for (size_t i = 0; i < width; i++) {
        size_t bucket = distance_bucket((long)i - (long)self->reach, self->buckets.rows);
        for (size_t head = 0; head < self->heads; head++)
            dtype_read(&self->values[head * width + i], self->buckets.type, self->buckets.data,
                       bucket * self->heads + head, 1);
    }
}

void distance_bias_collect(distance_bias *self) {
    size_t width = 2 * self->reach + 1;
    table_learning *learn = self->buckets.learn;
    for (size_t i = 0; self->grad && learn && i < width; i++) {
        size_t bucket = distance_bucket((long)i - (long)self->reach, self->buckets.rows);
        for (size_t head = 0; head < self->heads; head++) {
            learn->rows[bucket * self->heads + head] += self->grad[head * width + i];
            self->grad[head * width + i] = 0;
        }
        table_touch(learn, bucket);
    }
}

/* ---- As a term of the scores ---- */

static void add_bias(const void *values, const void *prepared, const kernel_table *kernels, const attention *in,
                     const score_block *to, float *room) {
    const distance_bias *self = values;
    const float *bias = self->values + to->head * (2 * self->reach + 1) + self->reach;
    const size_t *origin = in->origin ? in->origin + to->start : NULL;
    (void)prepared, (void)kernels, (void)room;
    for (size_t i = 0; i < to->rows; i++) {
        const float *row = bias - attention_place_of(in, to->start, to->query + i);
        for (size_t k = 0; k < to->length; k++)
            to->scores[i * to->stride + k] += row[origin ? origin[k] - origin[0] : k];
    }
}

/* The bias is added to the scores after their scale; the gradient of the scores includes the scale. */
static void bias_backward(const void *values, const run *on, const attention *in, const score_block *grads,
                          float *room) {
    const distance_bias *self = values;
    (void)on, (void)room;
    if (!self->grad) return;
    float *grad = self->grad + grads->head * (2 * self->reach + 1) + self->reach;
    const size_t *origin = in->origin ? in->origin + grads->start : NULL;
    for (size_t i = 0; i < grads->rows; i++)
        for (size_t k = 0; k < grads->length; k++) {
            size_t place = attention_place_of(in, grads->start, grads->query + i);
            size_t key = origin ? origin[k] - origin[0] : k;
            grad[(ptrdiff_t)key - (ptrdiff_t)place] += grads->scores[i * grads->stride + k] / in->scale;
        }
}

const score_term_kind score_term_distance = {.add = add_bias, .backward = bias_backward};
