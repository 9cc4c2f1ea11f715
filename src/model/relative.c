/* Relative attention's parameters. */
#include "model/relative.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text_buffer.h"
#include "model/encoder.h"

enum { NAME_BYTES = 512, EVERY_SEGMENT = 2 }; /* the type of a sequence's first token */

void relative_sinusoids(tensor out, size_t reach) {
    size_t half = out.columns / 2;
    for (size_t c = 0; c < half; c++) {
        double frequency = pow(10000, -(double)c / (double)half);
        for (size_t row = 0; row < out.rows; row++) {
            double angle = ((double)reach - (double)row) * frequency; /* query - key */
            tensor_row(out, row)[c] = (float)sin(angle);
            tensor_row(out, row)[half + c] = (float)cos(angle);
        }
    }
}

/* A tensor of whatever rank as a matrix. */
static rubato_status find(loader *load, source *out, const char *name, size_t rows, size_t columns) {
    const stored_tensor *stored = checkpoint_find(load->weights, name);
    if (!stored) return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s\" is missing", name);
    if (!dtype_is_real(stored->type) || stored->elements != rows * columns)
        return fail(load->error, RUBATO_BAD_MODEL,
                    "tensor \"%s\" has %zu elements of type %s; %zu real ones are needed", name, stored->elements,
                    dtype_name(stored->type), rows * columns);
    *out = (source){stored->name, stored->type, stored->data, rows, columns, NULL};
    load->parameters += stored->elements;
    return checkpoint_mark(load->weights, stored, load->error);
}

static rubato_status load_values(loader *load, table *out, const char *lead, const char *name, size_t rows,
                                 size_t columns, size_t parts) {
    char full[NAME_BYTES];
    source from;
    snprintf(full, sizeof full, "%s.%s", lead, name);
    TRY(find(load, &from, full, rows, columns));
    table_load(out, &from);
    return loader_bind(
        load, (binding){.kind = BOUND_TABLE, .table = out, .rows = rows, .columns = columns, .parts = parts}, full);
}

/* u is stored by itself, and the queries have no bias of their own. */
static rubato_status load_content(loader *load, layer *out, const char *lead, size_t heads, size_t hidden) {
    char full[NAME_BYTES];
    source from;
    table values;
    snprintf(full, sizeof full, "%s.r_w_bias", lead);
    TRY(find(load, &from, full, heads, hidden / heads));
    table_load(&values, &from);
    table_read(&values, 0, heads, out->qkv.bias);
    for (size_t i = 0; load->bound && i < load->bound->count; i++) {
        binding *b = &load->bound->items[i];
        if (b->kind != BOUND_BIAS || b->linear != &out->qkv || b->first != 0) continue;
        const char *stored = full + strlen(load->prefix);
        char *name = text_copy(stored, strlen(stored));
        if (!name) return fail_memory(load->error);
        free(b->name);
        b->name = name;
        b->parts = heads;
    }
    return RUBATO_OK;
}

static rubato_status load_kernel(loader *load, linear *out, const char *lead, size_t heads, size_t d) {
    char full[NAME_BYTES];
    source from;
    snprintf(full, sizeof full, "%s.r_kernel", lead);
    TRY(find(load, &from, full, d, d));
    *out = (linear){.in = d, .out = d, .precision = PRECISION_F32};
    out->packed = arena_take_array(load->with.memory, packed_size(d, d), sizeof(float));
    float *values = malloc(d * d * sizeof *values);
    if (!values || !out->packed) {
        free(values);
        return fail_memory(load->error);
    }
    dtype_read(values, from.type, from.data, 0, d * d);
    bool finite = all_finite(values, d * d);
    pack_straight_f32(out->packed, values, d, d, d);
    free(values);
    if (!finite) return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s\" holds NaN or infinity", full);
    return loader_bind(
        load, (binding){.kind = BOUND_WEIGHT, .linear = out, .rows = d, .columns = d, .turned = true, .parts = heads},
        full);
}

rubato_status relative_load(loader *load, layer *out, size_t heads, const char *lead, tensor sinusoids) {
    size_t d = out->qkv.in, head_size = d / heads;
    layer_terms *terms = out->terms = arena_take(load->with.memory, sizeof *terms);
    if (!terms) return fail_memory(load->error);
    *terms = (layer_terms){0};
    TRY(load_content(load, out, lead, heads, d));
    TRY(load_kernel(load, &terms->kernel, lead, heads, d));
    TRY(load_values(load, &terms->v, lead, "r_r_bias", heads, head_size, 0));
    TRY(load_values(load, &terms->w, lead, "r_s_bias", heads, head_size, 0));
    TRY(load_values(load, &terms->segments, lead, "seg_embed", 2, d, heads));
    if (load->bound) return RUBATO_OK;
    const run on = {.kernels = load->with.kernels, .crew = load->with.crew, .memory = load->with.memory};
    terms->far = run_tensor(&on, sinusoids.rows, d);
    if (!terms->far.data) return fail_memory(load->error);
    run_linear(&on, terms->far, sinusoids, &terms->kernel, ACTIVATION_NONE, NULL);
    return RUBATO_OK;
}

/* The rows of `all` for distances up to reach. */
static tensor nearest(tensor all, size_t reach) {
    all.data = tensor_row(all, all.rows / 2 - reach);
    all.rows = 2 * reach + 1;
    return all;
}

static bool read_term(const run *on, term *out, const table *from) {
    float *values = arena_take_array(on->memory, from->rows * from->width, sizeof *values);
    if (!values) return false;
    table_read(from, 0, from->rows, values);
    out->values = values;
    if (on->tape && from->learn) {
        memset(from->learn->touched, 1, from->rows);
        out->grad = from->learn->rows;
    }
    return true;
}

relative_terms *relative_ready(const run *on, const layer *weights, size_t longest, const int32_t *types,
                               bool first_apart) {
    const layer_terms *from = weights->terms;
    relative_terms *made = arena_take(on->memory, sizeof *made);
    if (!made) return NULL;
    *made = (relative_terms){.reach = longest - 1, .types = types, .all = EVERY_SEGMENT, .first_apart = first_apart};
    made->u.values = weights->qkv.bias;
    if (on->tape && weights->qkv.learn) made->u.grad = weights->qkv.learn->bias;
    if (!read_term(on, &made->v, &from->v) || !read_term(on, &made->w, &from->w) ||
        !read_term(on, &made->segments, &from->segments))
        return NULL;
    if (from->far.data) {
        made->far = nearest(from->far, made->reach);
        return made;
    }
    tensor sinusoids = run_tensor(on, 2 * made->reach + 1, from->kernel.in);
    made->far = run_tensor(on, sinusoids.rows, from->kernel.out);
    if (!sinusoids.data || !made->far.data) return NULL;
    relative_sinusoids(sinusoids, made->reach);
    run_linear(on, made->far, sinusoids, &from->kernel, ACTIVATION_NONE, NULL);
    return made;
}
