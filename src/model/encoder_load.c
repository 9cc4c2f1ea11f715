/* Loading an encoder's tensors. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/text_buffer.h"
#include "model/encoder.h"

enum { NAME_BYTES = 512 };

void loader_name(char *out, size_t bytes, const char *prefix, const char *name, size_t a, size_t b) {
    char tail[NAME_BYTES];
    snprintf(tail, sizeof tail, name, a, b);
    snprintf(out, bytes, "%s%s", prefix, tail);
}

rubato_status loader_find(loader *load, source *out, const char *name, size_t rows, size_t columns, bool needed) {
    *out = (source){0};
    const stored_tensor *stored = checkpoint_find(load->weights, name);
    if (!stored) {
        if (!needed) return RUBATO_OK;
        return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s\" is missing", name);
    }
    if (!dtype_is_real(stored->type))
        return fail(load->error, RUBATO_UNSUPPORTED, "tensor \"%s\" is of type %s; F32, F16, BF16 and F64 are read",
                    name, dtype_name(stored->type));
    size_t have_rows = stored->rank == 2 ? stored->shape[0] : 1;
    size_t have_columns = stored->rank == 2 ? stored->shape[1] : stored->rank == 1 ? stored->shape[0] : 0;
    if (stored->rank < 1 || stored->rank > 2 || (rows && have_rows != rows) || (columns && have_columns != columns) ||
        !have_rows || !have_columns)
        return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s\" is [%zu, %zu], config.json makes it [%zu, %zu]", name,
                    have_rows, have_columns, rows, columns);
    *out = (source){stored->name, stored->type, stored->data, have_rows, have_columns, NULL};
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

static rubato_status bind_linear(loader *load, linear *owner, const char *name, size_t first, size_t rows) {
    char full[NAME_BYTES + 16];
    snprintf(full, sizeof full, "%s.weight", name);
    TRY(loader_bind(
        load, (binding){.kind = BOUND_WEIGHT, .linear = owner, .first = first, .rows = rows, .columns = owner->in},
        full));
    snprintf(full, sizeof full, "%s.bias", name);
    if (!owner->bias) return RUBATO_OK;
    return loader_bind(load, (binding){.kind = BOUND_BIAS, .linear = owner, .first = first, .columns = rows}, full);
}

/* A stored layer of other rows than wanted is another task's. */
static bool must_be_made(const loader *load, const char *weight, size_t rows, size_t columns) {
    if (!load->fresh || !rows || !columns) return false;
    const stored_tensor *stored = checkpoint_find(load->weights, weight);
    return !stored || stored->rank != 2 || stored->shape[0] != rows || stored->shape[1] != columns;
}

/* A tensor that goes with a quantised one: "NAME.PART" of that type with `count` elements. */
static rubato_status find_part(loader *load, const char *name, const char *part, dtype type, size_t count,
                               const unsigned char **data) {
    char full[NAME_BYTES + 16];
    snprintf(full, sizeof full, "%s.%s", name, part);
    const stored_tensor *stored = checkpoint_find(load->weights, full);
    if (!stored) return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s\" is missing", full);
    if (stored->type != type || stored->elements != count)
        return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s\" has %zu elements of type %s, not %zu of type %s",
                    full, stored->elements, dtype_name(stored->type), count, dtype_name(type));
    *data = stored->data;
    return checkpoint_mark(load->weights, stored, load->error);
}

/* Stacked weights that `quantize` wrote: "NAME.packed" after the first of them. */
static rubato_status load_packed(loader *load, linear *out, const stored_tensor *packed, const char *const *names,
                                 size_t count, size_t rows, size_t columns) {
    bool bytes = packed->type == DTYPE_I8;
    char smooth[NAME_BYTES + 16];
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
    char full[NAME_BYTES + 16];
    for (size_t i = 0; i < count; i++) {
        snprintf(full, sizeof full, "%s.bias", names[i]);
        TRY(loader_find(load, &biases[i], full, 1, rows, false));
    }
    load->parameters += from.out * columns;
    TRY(linear_load_packed(out, &from, biases, count, &load->with, load->error));
    for (size_t i = 0; i < count; i++) TRY(bind_linear(load, out, names[i], i * rows, rows));
    return RUBATO_OK;
}

rubato_status loader_linear(loader *load, linear *out, const char *const *names, size_t count, size_t rows,
                            size_t columns) {
    source weights[3], biases[3];
    char full[NAME_BYTES + 16];
    snprintf(full, sizeof full, "%s.packed", names[0]);
    const stored_tensor *packed = checkpoint_find(load->weights, full);
    if (packed) return load_packed(load, out, packed, names, count, rows, columns);
    snprintf(full, sizeof full, "%s.weight", names[0]);
    if (must_be_made(load, full, rows, columns)) {
        TRY(linear_create(out, rows, columns, load->fresh, &load->with, load->error));
        return bind_linear(load, out, names[0], 0, rows);
    }
    for (size_t i = 0; i < count; i++) {
        snprintf(full, sizeof full, "%s.weight", names[i]);
        TRY(loader_find(load, &weights[i], full, rows, columns, true));
        snprintf(full, sizeof full, "%s.bias", names[i]);
        TRY(loader_find(load, &biases[i], full, 1, weights[i].rows, false));
    }
    TRY(linear_load(out, weights, biases, count, &load->with, load->error));
    for (size_t i = 0, first = 0; i < count; first += weights[i++].rows)
        TRY(bind_linear(load, out, names[i], first, weights[i].rows));
    return RUBATO_OK;
}

rubato_status loader_bind_decoder(loader *load, linear *out, const char *name, const char *bias, bool tied) {
    char full[NAME_BYTES + 16];
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
    char full[NAME_BYTES + 16];
    char second[NAME_BYTES + 16];
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

/* A table of bytes and the scales of its rows, "NAME.scale". */
static rubato_status find_bytes(loader *load, source *out, const stored_tensor *stored, size_t rows, size_t columns) {
    char name[NAME_BYTES];
    const unsigned char *data;
    float *scale = arena_take_array(load->with.memory, rows, sizeof *scale);
    if (!scale) return fail_memory(load->error);
    if (stored->rank != 2 || stored->shape[0] != rows || stored->shape[1] != columns)
        return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s\" is not [%zu, %zu], as config.json makes it",
                    stored->name, rows, columns);
    TRY(checkpoint_mark(load->weights, stored, load->error));
    snprintf(name, sizeof name, "%.*s", (int)(strlen(stored->name) - strlen(".weight")), stored->name);
    TRY(find_part(load, name, "scale", DTYPE_F32, rows, &data));
    memcpy(scale, data, rows * sizeof *scale);
    if (!all_finite(scale, rows))
        return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s.scale\" holds NaN or infinity", name);
    *out = (source){stored->name, stored->type, stored->data, rows, columns, scale};
    load->parameters += stored->elements;
    return RUBATO_OK;
}

static rubato_status load_table(loader *load, table *out, const char *name, size_t rows, size_t columns) {
    if (!name) return RUBATO_OK;
    char full[NAME_BYTES];
    source from;
    snprintf(full, sizeof full, "%s%s.weight", load->prefix, name);
    const stored_tensor *stored = checkpoint_find(load->weights, full);
    if (stored && stored->type == DTYPE_I8)
        TRY(find_bytes(load, &from, stored, rows, columns));
    else
        TRY(loader_find(load, &from, full, rows, columns, true));
    table_load(out, &from);
    return loader_bind(load, (binding){.kind = BOUND_TABLE, .table = out, .rows = from.rows, .columns = from.columns},
                       full);
}

static rubato_status load_layer(loader *load, layer *out, const encoder_config *config, const tensor_names *names,
                                size_t a, size_t b, const layer_smoothing *smooth) {
    static const layer_smoothing none;
    if (!smooth) smooth = &none;
    char text[3][NAME_BYTES];
    const char *three[3] = {text[0], text[1], text[2]};
    loader_name(text[0], NAME_BYTES, load->prefix, names->query, a, b);
    loader_name(text[1], NAME_BYTES, load->prefix, names->key, a, b);
    loader_name(text[2], NAME_BYTES, load->prefix, names->value, a, b);
    load->with.smooth = smooth->qkv;
    TRY(loader_linear(load, &out->qkv, three, 3, config->hidden, config->hidden));
    loader_name(text[0], NAME_BYTES, load->prefix, names->attention_out, a, b);
    load->with.smooth = smooth->attention_out;
    TRY(loader_linear(load, &out->attention_out, three, 1, config->hidden, config->hidden));
    loader_name(text[0], NAME_BYTES, load->prefix, names->attention_norm, a, b);
    TRY(loader_norm(load, &out->attention_norm, text[0], config->hidden, config->epsilon));
    loader_name(text[0], NAME_BYTES, load->prefix, names->up, a, b);
    load->with.smooth = smooth->up;
    TRY(loader_linear(load, &out->up, three, 1, config->inner, config->hidden));
    loader_name(text[0], NAME_BYTES, load->prefix, names->down, a, b);
    load->with.smooth = smooth->down;
    TRY(loader_linear(load, &out->down, three, 1, config->hidden, config->inner));
    load->with.smooth = NULL;
    loader_name(text[0], NAME_BYTES, load->prefix, names->output_norm, a, b);
    return loader_norm(load, &out->output_norm, text[0], config->hidden, config->epsilon);
}

/* What was bound since `first` is stored under the number `now` from here on. */
static rubato_status renumber(loader *load, size_t first, size_t now) {
    const char *pattern = load->kind->names.query;
    size_t lead = (size_t)(strstr(pattern, "%zu") - pattern);
    for (size_t i = first; load->bound && i < load->bound->count; i++) {
        char *old = load->bound->items[i].name, made[NAME_BYTES + 32];
        if (strncmp(old, pattern, lead) != 0) continue;
        const char *rest = old + lead + strspn(old + lead, "0123456789");
        snprintf(made, sizeof made, "%.*s%zu%s", (int)lead, old, now, rest);
        char *copy = text_copy(made, strlen(made));
        if (!copy) return fail_memory(load->error);
        free(old);
        load->bound->items[i].name = copy;
    }
    return RUBATO_OK;
}

/* The bucket of a distance key - query: half of them for each direction, half of those exact, the rest logarithmic up
 * to 128 (Raffel et al. 2019, as MPNet has it). In float as written, since the logarithm's rounding decides at powers
 * of two. */
static size_t distance_bucket(long distance, size_t buckets) {
    size_t half = buckets / 2, exact = half / 2;
    size_t base = distance < 0 ? 0 : half;
    size_t n = (size_t)labs(distance);
    /* the reference counts query - key: keys to the right are in the upper half */
    if (n == 0) base = 0;
    if (n < exact) return base + n;
    float far = logf((float)n / (float)exact) / (float)log(128.0 / (double)exact) * (float)(half - exact);
    return base + size_min(half - 1, exact + (size_t)far);
}

static rubato_status load_relative_bias(encoder *self, loader *load) {
    const encoder_config *config = &self->config;
    char full[NAME_BYTES];
    source from;
    snprintf(full, sizeof full, "%s%s.weight", load->prefix, load->kind->names.relative_bias);
    TRY(loader_find(load, &from, full, config->buckets, config->heads, true));
    table_load(&self->relative, &from);
    TRY(loader_bind(
        load, (binding){.kind = BOUND_TABLE, .table = &self->relative, .rows = from.rows, .columns = from.columns},
        full));
    self->bias_reach = encoder_max_length(config);
    size_t width = 2 * self->bias_reach + 1, elements;
    if (!checked_multiply(width, config->heads, &elements)) return fail_memory(load->error);
    self->bias = calloc(elements, sizeof *self->bias);
    self->bias_grad = load->bound ? calloc(elements, sizeof *self->bias_grad) : NULL;
    if (!self->bias || (load->bound && !self->bias_grad)) return fail_memory(load->error);
    encoder_spread_bias(self);
    if (!all_finite(self->bias, elements))
        return fail(load->error, RUBATO_BAD_MODEL, "tensor \"%s\" holds NaN or infinity", full);
    return RUBATO_OK;
}

void encoder_spread_bias(encoder *self) {
    size_t width = 2 * self->bias_reach + 1, heads = self->config.heads;
    for (size_t i = 0; self->bias && i < width; i++) {
        size_t bucket = distance_bucket((long)i - (long)self->bias_reach, self->config.buckets);
        for (size_t one = 0; one < heads; one++)
            dtype_read(&self->bias[one * width + i], self->relative.type, self->relative.data, bucket * heads + one, 1);
    }
}

void encoder_collect_bias(encoder *self) {
    size_t width = 2 * self->bias_reach + 1, heads = self->config.heads;
    const table_learning *learn = self->relative.learn;
    for (size_t i = 0; self->bias_grad && learn && i < width; i++) {
        size_t bucket = distance_bucket((long)i - (long)self->bias_reach, self->config.buckets);
        for (size_t one = 0; one < heads; one++) {
            learn->rows[bucket * heads + one] += self->bias_grad[one * width + i];
            self->bias_grad[one * width + i] = 0;
        }
        learn->touched[bucket] = 1;
    }
}

/* Which weights each layer uses. */
static rubato_status lay_out(encoder *self, loader *load) {
    const encoder_config *config = &self->config;
    size_t inner = config->groups ? config->inner_layers : 1, decoder = load->decoder ? config->decoder_layers : 0;
    self->unique = config->groups ? config->groups * inner : config->layers;
    for (size_t i = 0; i < config->blocks; i++) self->unique -= config->block_size[i] * (config->block_repeats[i] - 1);
    self->unique += decoder;
    self->depth = config->layers * inner + decoder;
    self->layers = calloc(size_max(self->unique, 1), sizeof *self->layers);
    self->order = calloc(size_max(self->depth, 1), sizeof *self->order);
    if (!self->layers || !self->order) return fail_memory(load->error);
    self->shape = (layer_shape){config->hidden, config->inner, config->heads, self->depth, .how = config->merging};
    for (size_t i = 0; i < self->depth; i++) {
        size_t group = config->groups ? (i / inner) * config->groups / config->layers : i;
        self->order[i] = (uint16_t)(config->groups ? group * inner + i % inner : i);
    }
    if (!config->blocks) return RUBATO_OK;
    if (self->depth > 64) return fail(load->error, RUBATO_UNSUPPORTED, "%zu layers in blocks", self->depth);
    size_t at = 0, weights = 0;
    for (size_t block = 0; block < config->blocks; block++) {
        if (block > 0) self->shape.merges |= (uint64_t)1 << at;
        for (size_t i = 0; i < config->block_size[block]; i++, weights++)
            for (size_t again = 0; again < config->block_repeats[block]; again++) self->order[at++] = (uint16_t)weights;
    }
    self->shape.decoder = decoder ? at : 0;
    self->shape.relative = true;
    while (at < self->depth) self->order[at++] = (uint16_t)weights++;
    return RUBATO_OK;
}

/* The layers of blocks, and of a decoder after them. */
static rubato_status load_blocks(encoder *self, loader *load) {
    const encoder_config *config = &self->config;
    const tensor_names *names = &load->kind->names;
    char lead[NAME_BYTES];
    arena scratch;
    arena_create(&scratch, (size_t)1 << 30, 1 << 20);
    const run on = {.kernels = load->with.kernels, .crew = load->with.crew, .memory = &scratch};
    size_t reach = encoder_max_length(config) - 1, block = 0, i = 0;
    tensor sinusoids = run_tensor(&on, 2 * reach + 1, config->hidden);
    rubato_status status = sinusoids.data ? RUBATO_OK : fail_memory(load->error);
    if (sinusoids.data) relative_sinusoids(sinusoids, reach);
    for (size_t n = 0; n < self->unique && status == RUBATO_OK; n++, i++) {
        if (block < config->blocks && i == config->block_size[block]) {
            block++;
            i = 0;
        }
        if (block == config->blocks) names = load->kind->decoder;
        size_t first = block == config->blocks ? i : block;
        load->with.precision = load->how;
        TRY_DONE(load_layer(load, &self->layers[n], config, names, first, i, NULL));
        loader_name(lead, sizeof lead, load->prefix, names->relative_terms, first, i);
        TRY_DONE(relative_load(load, &self->layers[n], config->heads, lead, sinusoids));
    }
done:
    load->with.precision = PRECISION_F32;
    arena_destroy(&scratch);
    return status;
}

rubato_status encoder_load(encoder *self, loader *load, const encoder_config *config) {
    const tensor_names *names = &load->kind->names;
    char full[NAME_BYTES];
    *self = (encoder){.config = *config};
    size_t before = load->parameters;
    load->place = IN_BODY;
    TRY(load_table(load, &self->word, names->word, config->vocabulary, config->embedding));
    TRY(load_table(load, &self->position, names->position, config->positions, config->embedding));
    if (config->types) TRY(load_table(load, &self->type, names->type, config->types, config->embedding));
    snprintf(full, sizeof full, "%s%s", load->prefix, names->embedding_norm);
    TRY(loader_norm(load, &self->embedding_norm, full, config->embedding, config->epsilon));
    if (names->projection) {
        const char *one[1] = {full};
        char probe[NAME_BYTES + 16];
        snprintf(full, sizeof full, "%s%s", load->prefix, names->projection);
        snprintf(probe, sizeof probe, "%s.weight", full);
        if (config->embedding != config->hidden || checkpoint_find(load->weights, probe))
            TRY(loader_linear(load, &self->projection, one, 1, config->hidden, config->embedding));
    }
    TRY(lay_out(self, load));
    size_t inner = config->groups ? config->inner_layers : 1;
    if (config->blocks) TRY(load_blocks(self, load));
    for (size_t i = 0; i < self->unique && !config->blocks; i++) {
        size_t bound = load->bound ? load->bound->count : 0, stored = load->layers ? load->layers[i] : i / inner;
        load->with.precision = load->each ? load->each[i] : load->how;
        load->with.both = load->both;
        TRY(load_layer(load, &self->layers[i], config, names, stored, i % inner,
                       load->smooth ? &load->smooth[i] : NULL));
        if (load->layers) TRY(renumber(load, bound, i));
    }
    load->with.precision = PRECISION_F32;
    load->with.both = false;
    if (config->buckets) TRY(load_relative_bias(self, load));
    self->parameters = load->parameters - before;
    load->place = IN_HEAD;
    return RUBATO_OK;
}

bool encoder_has_both(const encoder *self) {
    const linear *one = self->unique ? &self->layers[0].up : NULL;
    return one && one->low && one->packed && !one->learn;
}

const char *encoder_precision(const encoder *self) {
    if (self->unique == 0) return precision_name(PRECISION_F32);
    for (size_t i = 1; i < self->unique; i++)
        if (self->layers[i].up.precision != self->layers[0].up.precision) return "mixed";
    const linear *one = &self->layers[0].up;
    if (encoder_has_both(self)) return one->precision == PRECISION_INT8 ? "f32+int8" : "f32+bf16";
    return precision_name(one->precision);
}

void encoder_free(encoder *self) {
    free(self->layers);
    free(self->order);
    free(self->bias);
    free(self->bias_grad);
    *self = (encoder){0};
}
