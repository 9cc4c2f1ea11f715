/* The parameters of relative attention. */
#include "attention/relative.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text_buffer.h"
#include "tensor/operations.h"

/* One row for each distance from -reach to reach (positive when the key is before the query): sines and cosines at
 * falling frequencies. */
static void fill_sinusoids(tensor out, size_t reach) {
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

/* Finds a tensor of any rank as a matrix. */
static rubato_status find(loader *load, source *out, const char *name, size_t rows, size_t columns) {
    const stored_tensor *stored = checkpoint_find(load->weights, name);
    if (!stored) return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s\" is missing", name);
    if (!dtype_is_real(stored->type) || stored->elements != rows * columns)
        return fail(load->error, RUBATO_BAD_MODEL,
                    "tensor \"%s\" has %zu elements of type %s; %zu real ones are needed", name, stored->elements,
                    dtype_name(stored->type), rows * columns);
    *out = (source){stored->name, stored->type, stored->data, rows, columns, NULL, false};
    load->parameters += stored->elements;
    return checkpoint_mark(load->weights, stored, load->error);
}

static rubato_status load_values(loader *load, table *out, const char *lead, const char *name, size_t rows,
                                 size_t columns, size_t parts) {
    char full[LOADER_NAME];
    source from;
    snprintf(full, sizeof full, "%s.%s", lead, name);
    TRY(find(load, &from, full, rows, columns));
    table_load(out, &from);
    return loader_bind(
        load, (binding){.kind = BOUND_TABLE, .table = out, .rows = rows, .columns = columns, .parts = parts}, full);
}

/* u is stored separately, and the queries have no bias of their own. In XLNet keys and values have none either. */
static rubato_status load_content(loader *load, linear *qkv, const char *lead, size_t heads, size_t hidden) {
    char full[LOADER_NAME];
    source from;
    table values;
    snprintf(full, sizeof full, "%s.r_w_bias", lead);
    TRY(find(load, &from, full, heads, hidden / heads));
    const bool alone = !qkv->bias;
    TRY(linear_add_bias(qkv, load->with.memory, load->error));
    table_load(&values, &from);
    table_read(&values, 0, heads, qkv->bias);
    if (alone) {
        qkv->biased = hidden;
        return loader_bind(load, (binding){.kind = BOUND_BIAS, .linear = qkv, .columns = hidden, .parts = heads}, full);
    }
    for (size_t i = 0; load->bound && i < load->bound->count; i++) {
        binding *b = &load->bound->items[i];
        if (b->kind != BOUND_BIAS || b->linear != qkv || b->first != 0) continue;
        const char *stored = full + strlen(load->prefix);
        char *name = text_copy(stored, strlen(stored));
        if (!name) return fail_memory(load->error);
        free(b->name);
        b->name = name;
        b->parts = heads;
    }
    return RUBATO_OK;
}

static rubato_status load_kernel(loader *load, linear *out, const char *lead, const char *name, size_t heads,
                                 size_t d) {
    char full[LOADER_NAME];
    source from;
    snprintf(full, sizeof full, "%s.%s", lead, name ? name : "r_kernel");
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

/* A run for an operation at loading time, whose result stays in `memory`. */
static run loading_run(const loader *load, rubato_status *status) {
    return (run){.kernels = load->with.kernels, .crew = load->with.crew, .memory = load->with.memory, .status = status};
}

rubato_status relative_sinusoids(loader *load, tensor *out, size_t longest, size_t width) {
    rubato_status status = RUBATO_OK;
    const run on = loading_run(load, &status);
    *out = run_tensor(&on, 2 * longest - 1, width);
    if (out->data) fill_sinusoids(*out, longest - 1);
    return run_result(&on, load->error);
}

rubato_status relative_load(loader *load, relative_weights *out, linear *qkv, size_t heads, const char *lead,
                            const char *kernel, tensor sinusoids) {
    size_t d = qkv->in, head_size = d / heads;
    TRY(load_content(load, qkv, lead, heads, d));
    TRY(load_kernel(load, &out->kernel, lead, kernel, heads, d));
    TRY(load_values(load, &out->v, lead, "r_r_bias", heads, head_size, 0));
    TRY(load_values(load, &out->w, lead, "r_s_bias", heads, head_size, 0));
    TRY(load_values(load, &out->segments, lead, "seg_embed", 2, d, heads));
    if (load->bound) return RUBATO_OK;
    rubato_status status = RUBATO_OK;
    const run on = loading_run(load, &status);
    out->far = run_tensor(&on, sinusoids.rows, d);
    run_linear(&on, out->far, sinusoids, &out->kernel, ACTIVATION_NONE, NULL);
    return run_result(&on, load->error);
}

/* The rows of `all` for distances up to reach. */
static tensor nearest(tensor all, size_t reach) {
    all.data = tensor_row(all, all.rows / 2 - reach);
    all.rows = 2 * reach + 1;
    return all;
}

static void read_vector(const run *on, relative_vector *out, const table *from) {
    float *values = run_take(on, from->rows * from->width, sizeof *values);
    if (!values) return;
    table_read(from, 0, from->rows, values);
    out->values = values;
    if (on->tape && from->learn) {
        for (size_t row = 0; row < from->rows; row++) table_touch(from->learn, row);
        out->grad = from->learn->rows;
    }
}

relative_terms *relative_ready(const run *on, const relative_weights *from, const linear *qkv, tensor sinusoids,
                               size_t longest, const int32_t *types, relative_form form) {
    relative_terms *made = run_take(on, 1, sizeof *made);
    if (!made) return NULL;
    *made = (relative_terms){.reach = longest - 1, .types = types, .form = form};
    made->u.values = qkv->bias;
    if (on->tape && qkv->learn) made->u.grad = qkv->learn->bias;
    read_vector(on, &made->v, &from->v);
    read_vector(on, &made->w, &from->w);
    read_vector(on, &made->segments, &from->segments);
    if (from->far.data) {
        made->far = nearest(from->far, made->reach);
        return made;
    }
    /* a copy, because the derivative writes a gradient of it, which nothing reads */
    tensor near = run_copy(on, nearest(sinusoids, made->reach));
    made->far = run_tensor(on, near.rows, from->kernel.out);
    run_linear(on, made->far, near, &from->kernel, ACTIVATION_NONE, NULL);
    return run_failed(on) ? NULL : made;
}
