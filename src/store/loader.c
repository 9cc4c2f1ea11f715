/* Loading parameters. */
#include "store/loader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/text_buffer.h"

void loader_name(char *out, size_t bytes, const char *prefix, const char *name, size_t a, size_t b) {
    char tail[LOADER_NAME];
    snprintf(tail, sizeof tail, name, a, b);
    snprintf(out, bytes, "%s%s", prefix, tail);
}

/* Finds a tensor that belongs to a quantised one: "NAME.PART" of that type with `count` elements. */
static rubato_status find_part(loader *load, const char *name, const char *part, dtype type, size_t count,
                               const unsigned char **data) {
    char full[LOADER_NAME + 16];
    snprintf(full, sizeof full, "%s.%s", name, part);
    const stored_tensor *stored = checkpoint_find(load->weights, full);
    if (!stored) return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s\" is missing", full);
    if (stored->type != type || stored->elements != count)
        return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s\" has %zu elements of type %s, not %zu of type %s",
                    full, stored->elements, dtype_name(stored->type), count, dtype_name(type));
    *data = stored->data;
    return checkpoint_mark(load->weights, stored, load->error);
}

/* The scales of a matrix of bytes, one for each row: "NAME.scale" of "NAME.weight". */
static rubato_status find_scales(loader *load, const stored_tensor *of, float **scale) {
    char name[LOADER_NAME];
    const unsigned char *data;
    const size_t rows = of->shape[0];
    *scale = arena_take_array(load->with.memory, rows, sizeof **scale);
    if (!*scale) return fail_memory(load->error);
    const size_t stem = strlen(of->name) - (text_ends_with(of->name, ".weight") ? strlen(".weight") : 0);
    snprintf(name, sizeof name, "%.*s", (int)stem, of->name);
    TRY(find_part(load, name, "scale", DTYPE_F32, rows, &data));
    memcpy(*scale, data, rows * sizeof **scale);
    if (all_finite(*scale, rows)) return RUBATO_OK;
    return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s.scale\" holds NaN or infinity", name);
}

rubato_status loader_find(loader *load, source *out, const char *name, size_t rows, size_t columns, bool needed) {
    *out = (source){0};
    const stored_tensor *stored = checkpoint_find(load->weights, name);
    if (!stored) {
        if (!needed) return RUBATO_OK;
        if (load->new_all)
            return fail(load->error, RUBATO_UNSUPPORTED, "\"%s\" cannot be drawn: this family begins with weights",
                        name);
        return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s\" is missing", name);
    }
    const bool bytes = stored->type == DTYPE_I8 && stored->rank == 2;
    if (!dtype_is_real(stored->type) && !bytes)
        return fail(load->error, RUBATO_UNSUPPORTED,
                    "tensor \"%s\" is of type %s; F32, F16, BF16 and F64 are read, and I8 of matrices with scales",
                    name, dtype_name(stored->type));
    /* a convolution over rows, whose sizes are known */
    const bool taps = stored->rank == 4 && stored->shape[1] == 1 && stored->shape[3] == 1 && rows > 0 && columns > 0;
    const bool parts = stored->rank == 3 && stored->shape[1] == load->form.parts;
    if (stored->rank < 1 || (stored->rank > 2 && !taps && !parts))
        return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s\" has %zu dimensions; config.json makes it [%zu, %zu]",
                    name, stored->rank, rows ? rows : 1, columns);
    size_t have_rows = stored->rank >= 2 ? stored->shape[0] : 1;
    size_t have_columns = stored->rank == 2   ? stored->shape[1]
                          : parts             ? stored->elements / size_max(have_rows, 1)
                          : taps              ? stored->shape[2]
                          : stored->rank == 1 ? stored->shape[0]
                                              : 0;
    if ((rows && have_rows != rows) || (columns && have_columns != columns) || !have_rows || !have_columns)
        return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s\" is [%zu, %zu], config.json makes it [%zu, %zu]", name,
                    have_rows, have_columns, rows ? rows : have_rows, columns ? columns : have_columns);
    float *scale = NULL;
    if (bytes) TRY(find_scales(load, stored, &scale));
    *out = (source){stored->name, stored->type, stored->data, have_rows, have_columns, scale, false};
    load->parameters += stored->elements;
    return checkpoint_mark(load->weights, stored, load->error);
}

void bindings_free(bindings *self) {
    for (size_t i = 0; i < self->count; i++) free(self->items[i].name);
    free(self->items);
    *self = (bindings){0};
}

rubato_status loader_bind(loader *load, binding what, const char *name) {
    bindings *all = load->bound;
    if (!all) return RUBATO_OK;
    if (all->count == all->capacity) {
        size_t capacity = all->capacity * 2 + 64;
        binding *grown = realloc(all->items, capacity * sizeof *grown);
        if (!grown) return fail_memory(load->error);
        all->items = grown;
        all->capacity = capacity;
    }
    what.place = load->place;
    what.name = text_copy(name, strlen(name));
    if (what.place == IN_BODY && strncmp(name, load->prefix, strlen(load->prefix)) == 0) {
        free(what.name);
        what.name = text_copy(name + strlen(load->prefix), strlen(name) - strlen(load->prefix));
    }
    if (!what.name) return fail_memory(load->error);
    all->items[all->count++] = what;
    return RUBATO_OK;
}

/* The name of a linear layer's weight. */
static void name_weight(const loader *load, char *out, size_t bytes, const char *name) {
    snprintf(out, bytes, load->form.bare ? "%s" : "%s.weight", name);
}

static rubato_status bind_linear(loader *load, linear *owner, const char *name, size_t first, size_t rows) {
    char full[LOADER_NAME + 16];
    name_weight(load, full, sizeof full, name);
    TRY(loader_bind(load,
                    (binding){.kind = BOUND_WEIGHT,
                              .linear = owner,
                              .first = first,
                              .rows = rows,
                              .columns = owner->in,
                              .turned = load->form.turned,
                              .parts = load->form.parts},
                    full));
    snprintf(full, sizeof full, "%s.bias", name);
    if (!owner->bias) return RUBATO_OK;
    return loader_bind(load, (binding){.kind = BOUND_BIAS, .linear = owner, .first = first, .columns = rows}, full);
}

/* A stored layer with a different number of rows belongs to another task. */
static bool must_be_made(const loader *load, const char *weight, size_t rows, size_t columns) {
    if (!load->fresh || !rows || !columns) return false;
    const stored_tensor *stored = checkpoint_find(load->weights, weight);
    return !stored || stored->rank != 2 || stored->shape[0] != rows || stored->shape[1] != columns;
}

/* A weight in the form that the family has, as [rows, columns]. */
static rubato_status find_weight(loader *load, source *out, const char *name, size_t rows, size_t columns) {
    char full[LOADER_NAME + 16];
    name_weight(load, full, sizeof full, name);
    if (!load->form.turned) return loader_find(load, out, full, rows, columns, true);
    TRY(loader_find(load, out, full, columns, rows, true));
    const size_t outputs = out->columns;
    out->columns = out->rows;
    out->rows = outputs;
    out->turned = true;
    return RUBATO_OK;
}

/* Whether stacked layers stand in one tensor. */
static bool in_one(const char *const *names, size_t count) {
    return count > 1 && strcmp(names[0], names[1]) == 0;
}

/* Loads stacked weights that `quantize` wrote: "NAME.packed", with the name of the first weight. */
static rubato_status load_packed(loader *load, linear *out, const stored_tensor *packed, const char *const *names,
                                 size_t count, size_t rows, size_t columns) {
    bool bytes = packed->type == DTYPE_I8;
    char smooth[LOADER_NAME + 16];
    packed_source from = {
        .name = packed->name, .type = packed->type, .words = packed->data, .out = count * rows, .in = columns};
    size_t elements = 0, words = precision_words(bytes ? PRECISION_INT8 : PRECISION_BF16, columns);
    bool fits = rows && columns && (bytes || packed->type == DTYPE_BF16) &&
                checked_multiply(round_up(from.out, PANEL), words * (bytes ? 4 : 2), &elements);
    if (!fits || packed->elements != elements)
        return fail(load->error, RUBATO_BAD_MODEL,
                    "tensor \"%s\" of type %s has %zu elements, [%zu, %zu] packed in panels of %d has %zu",
                    packed->name, dtype_name(packed->type), packed->elements, from.out, columns, PANEL, elements);
    TRY(checkpoint_mark(load->weights, packed, load->error));
    if (bytes) TRY(find_part(load, names[0], "scale", DTYPE_F32, from.out, &from.scale));
    if (bytes) TRY(find_part(load, names[0], "offset", DTYPE_I32, from.out, &from.offset));
    snprintf(smooth, sizeof smooth, "%s.smooth", names[0]);
    if (bytes && checkpoint_find(load->weights, smooth))
        TRY(find_part(load, names[0], "smooth", DTYPE_F32, columns, &from.smooth));
    source biases[3];
    char full[LOADER_NAME + 16];
    const size_t tensors = in_one(names, count) ? 1 : count;
    for (size_t i = 0; i < tensors; i++) {
        snprintf(full, sizeof full, "%s.bias", names[i]);
        TRY(loader_find(load, &biases[i], full, 1, from.out / tensors, false));
    }
    load->parameters += from.out * columns;
    TRY(linear_load_packed(out, &from, biases, tensors, &load->with, load->error));
    for (size_t i = 0; i < count; i++) TRY(bind_linear(load, out, names[i], i * rows, rows));
    return RUBATO_OK;
}

rubato_status loader_new_linear(loader *load, linear *out, const char *name, size_t rows, size_t columns) {
    TRY(linear_create(out, rows, columns, load->fresh, &load->with, load->error));
    return bind_linear(load, out, name, 0, rows);
}

/* Draws stacked layers. */
static rubato_status new_stacked(loader *load, linear *out, const char *const *names, size_t count, size_t rows,
                                 size_t columns) {
    if (!rows || !columns)
        return fail(load->error, RUBATO_UNSUPPORTED, "\"%s\" cannot be drawn: its size is not known", names[0]);
    TRY(linear_create(out, count * rows, columns, load->fresh, &load->with, load->error));
    load->parameters += count * rows * (columns + 1);
    for (size_t i = 0; i < count; i++) TRY(bind_linear(load, out, names[i], i * rows, rows));
    return RUBATO_OK;
}

rubato_status loader_linear(loader *load, linear *out, const char *const *names, size_t count, size_t rows,
                            size_t columns) {
    source weights[3], biases[3];
    char full[LOADER_NAME + 16];
    load->with.smooth = load->smooth ? *load->smooth++ : NULL;
    snprintf(full, sizeof full, "%s.packed", names[0]);
    const stored_tensor *packed = checkpoint_find(load->weights, full);
    if (packed) return load_packed(load, out, packed, names, count, rows, columns);
    if (load->new_all) return new_stacked(load, out, names, count, rows, columns);
    snprintf(full, sizeof full, "%s.weight", names[0]);
    if (!load->form.bare && must_be_made(load, full, rows, columns))
        return new_stacked(load, out, names, count, rows, columns);
    const bool one = in_one(names, count);
    const size_t tensors = one ? 1 : count;
    for (size_t i = 0; i < tensors; i++) {
        TRY(find_weight(load, &weights[i], names[i], one ? count * rows : rows, columns));
        snprintf(full, sizeof full, "%s.bias", names[i]);
        TRY(loader_find(load, &biases[i], full, 1, weights[i].rows, false));
    }
    TRY(linear_load(out, weights, biases, tensors, &load->with, load->error));
    for (size_t i = 0, first = 0; i < count; i++) {
        const size_t own = one ? rows : weights[i].rows;
        if (i < tensors) checkpoint_release(load->weights, weights[i].name);
        TRY(bind_linear(load, out, names[i], first, own));
        first += own;
    }
    return RUBATO_OK;
}

rubato_status loader_bind_decoder(loader *load, linear *out, const char *name, const char *bias, bool tied) {
    char full[LOADER_NAME + 16];
    snprintf(full, sizeof full, "%s.weight", name);
    if (!tied)
        TRY(loader_bind(load, (binding){.kind = BOUND_WEIGHT, .linear = out, .rows = out->out, .columns = out->in},
                        full));
    snprintf(full, sizeof full, "%s.bias", name);
    if (!out->bias) return RUBATO_OK;
    return loader_bind(load, (binding){.kind = BOUND_BIAS, .linear = out, .columns = out->out}, bias ? bias : full);
}

rubato_status loader_norm(loader *load, norm *out, const char *name, size_t width, float epsilon) {
    source gamma, beta;
    char full[LOADER_NAME + 16];
    char second[LOADER_NAME + 16];
    snprintf(full, sizeof full, "%s.weight", name);
    snprintf(second, sizeof second, "%s.bias", name);
    if (load->fresh && !checkpoint_find(load->weights, full)) {
        TRY(norm_create(out, width, epsilon, &load->with, load->error));
    } else {
        TRY(loader_find(load, &gamma, full, 1, width, true));
        TRY(loader_find(load, &beta, second, 1, width, false));
        TRY(norm_load(out, &gamma, &beta, epsilon, &load->with, load->error));
    }
    TRY(loader_bind(load, (binding){.kind = BOUND_GAMMA, .norm = out, .columns = width}, full));
    return out->beta ? loader_bind(load, (binding){.kind = BOUND_BETA, .norm = out, .columns = width}, second)
                     : RUBATO_OK;
}

static rubato_status new_table(loader *load, table *out, binding_kind kind, const char *name, size_t rows,
                               size_t columns) {
    TRY(table_create(out, rows, columns, load->fresh, &load->with, load->error));
    load->parameters += rows * columns;
    return loader_bind(load, (binding){.kind = kind, .table = out, .rows = rows, .columns = columns}, name);
}

rubato_status loader_table(loader *load, table *out, const char *name, size_t rows, size_t columns) {
    if (!name) return RUBATO_OK;
    char full[LOADER_NAME];
    source from;
    snprintf(full, sizeof full, "%s%s.weight", load->prefix, name);
    if (load->new_all) return new_table(load, out, BOUND_TABLE, full, rows, columns);
    TRY(loader_find(load, &from, full, rows, columns, true));
    table_load(out, &from);
    return loader_bind(load, (binding){.kind = BOUND_TABLE, .table = out, .rows = from.rows, .columns = from.columns},
                       full);
}

rubato_status loader_stored(loader *load, table *out, binding_kind kind, const char *name, size_t rows,
                            size_t columns) {
    source from;
    if (load->new_all && kind == BOUND_TABLE) return new_table(load, out, kind, name, rows, columns);
    TRY(loader_find(load, &from, name, rows, columns, true));
    table_load(out, &from);
    return loader_bind(load, (binding){.kind = kind, .table = out, .rows = from.rows, .columns = from.columns}, name);
}

rubato_status loader_seed(loader *load, table *out, const char *name, size_t width) {
    const bool drawn = load->new_all || (load->fresh && !checkpoint_find(load->weights, name));
    return drawn ? new_table(load, out, BOUND_TABLE, name, 1, width)
                 : loader_stored(load, out, BOUND_TABLE, name, 1, width);
}

rubato_status loader_shaped(loader *load, table *out, const char *name, size_t rows, size_t columns,
                            lone_dimension where) {
    binding what = {.kind = BOUND_TABLE, .table = out, .rows = rows, .columns = columns};
    const stored_tensor *stored = checkpoint_find(load->weights, name);
    if (where == BEHIND_ONE)
        what.behind_one = true;
    else
        what.parts = 1;
    if (load->new_all) {
        TRY(table_create(out, rows, columns, load->fresh, &load->with, load->error));
        load->parameters += rows * columns;
        return loader_bind(load, what, name);
    }
    if (!stored) return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s\" is missing", name);
    const size_t *shape = stored->shape, one = where == BEHIND_ONE ? 0 : 1;
    if (!dtype_is_real(stored->type) || stored->rank != 3 || shape[one] != 1 || shape[!one] != rows ||
        shape[2] != columns)
        return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s\" is not [%zu, %zu, %zu] of real numbers", name,
                    one ? rows : 1, one ? 1 : rows, columns);
    table_load(out, &(source){stored->name, stored->type, stored->data, rows, columns, NULL, false});
    load->parameters += stored->elements;
    TRY(checkpoint_mark(load->weights, stored, load->error));
    return loader_bind(load, what, name);
}

rubato_status loader_spread(loader *load, table *out, const char *name, size_t rows, size_t columns, double deviation) {
    const double usual = load->with.deviation;
    load->with.deviation = deviation;
    const rubato_status status = loader_stored(load, out, BOUND_TABLE, name, rows, columns);
    load->with.deviation = usual;
    return status;
}

rubato_status loader_values(loader *load, table *out, const char *name, size_t rows, size_t columns) {
    const stored_tensor *stored = checkpoint_find(load->weights, name);
    source from = {0};
    if (stored && !load->new_all) {
        TRY(loader_find(load, &from, name, rows, columns, true));
        table_load(out, &from);
        if (!load->bound) file_expect_random(stored->data, stored->bytes); /* else it is read whole */
        TRY(loader_bind(load, (binding){.kind = BOUND_TABLE, .table = out, .rows = rows, .columns = columns}, name));
    } else {
        TRY(loader_spread(load, out, name, rows, columns, load->zero_values ? -1 : 1 / sqrt((double)columns)));
    }
    out->slots = true;
    return RUBATO_OK;
}

rubato_status loader_running(loader *load, norm *out, const char *name, size_t width) {
    char full[2][LOADER_NAME + 16];
    float *values[2];
    snprintf(full[0], sizeof full[0], "%s.running_var", name);
    snprintf(full[1], sizeof full[1], "%s.running_mean", name);
    for (int i = 0; i < 2; i++) {
        source from;
        values[i] = arena_take_array(load->with.memory, width + 1, sizeof *values[i]);
        if (!values[i]) return fail_memory(load->error);
        values[i][width] = 0;
        for (size_t j = 0; j < width; j++) values[i][j] = i == 0;
        if (load->new_all) continue;
        TRY(loader_find(load, &from, full[i], 1, width, true));
        load->parameters -= width; /* nothing learns them */
        dtype_read(values[i], from.type, from.data, 0, width);
        if (!all_finite(values[i], width))
            return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s\" holds NaN or infinity", full[i]);
    }
    for (size_t j = 0; j < width; j++)
        if (values[0][j] < 0) return fail(load->error, RUBATO_BAD_MODEL, "a variance in \"%s\" is negative", full[0]);
    *out = (norm){.gamma = values[0], .beta = values[1], .width = width, .measured = true};
    TRY(loader_bind(load, (binding){.kind = BOUND_GAMMA, .norm = out, .columns = width}, full[0]));
    return loader_bind(load, (binding){.kind = BOUND_BETA, .norm = out, .columns = width}, full[1]);
}

void bindings_replace_table(const bindings *self, table *of, const float *rows, size_t count) {
    for (size_t i = 0; i < self->count; i++)
        if (self->items[i].kind == BOUND_TABLE && self->items[i].table == of) self->items[i].rows = count;
    of->type = DTYPE_F32;
    of->data = (const unsigned char *)rows;
    of->scale = NULL;
    of->rows = count;
}
