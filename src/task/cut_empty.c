#include "task/cut_empty.h"

#include <stdlib.h>
#include <string.h>

#include "attention/attending.h"
#include "base/checked.h"

/* The units of one layer that stay. */
typedef struct cutting {
    layer *of;
    bool *heads, *neurons;       /* [of->heads], [of->inner] */
    bool has_heads, has_neurons; /* a layer behind them reads them; else nothing is known, and all stay */
    size_t head_count, neuron_count;
    bindings *bound;
    arena *memory;
    const kernel_table *kernels;
    rubato_status status;
    rubato_error *error;
} cutting;

static bool is_zero(const linear *of, size_t first, size_t count) {
    for (size_t panel = 0; panel * PANEL < of->out; panel++)
        for (size_t k = first; k < first + count; k++)
            for (size_t j = 0; j < PANEL; j++)
                if (of->packed[(panel * of->in + k) * PANEL + j] != 0) return false;
    return true;
}

/* A unit gives something where the layer behind it reads it. */
static void find_units(void *user, linear *of, const linear_role *role) {
    cutting *c = user;
    const size_t size = c->of->head_size;
    if (!of->packed) {
        c->status =
            fail(c->error, RUBATO_UNSUPPORTED, "a model in low precision cannot be cut; quantize it --to f32 first");
        return;
    }
    c->has_heads = c->has_heads || role->inputs == AXIS_HEADS;
    c->has_neurons = c->has_neurons || role->inputs == AXIS_NEURONS;
    for (size_t i = 0; role->inputs == AXIS_HEADS && i < c->of->heads; i++)
        c->heads[i] = c->heads[i] || !is_zero(of, i * size, size);
    for (size_t i = 0; role->inputs == AXIS_NEURONS && i < c->of->inner; i++)
        c->neurons[i] = c->neurons[i] || !is_zero(of, i, 1);
}

static size_t count_kept(bool *kept, size_t count, bool known) {
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) kept[i] = kept[i] || !known;
    for (size_t i = 0; i < count; i++) sum += kept[i];
    if (sum == 0 && count) kept[0] = true;
    return size_max(sum, 1);
}

/* The places of the features that stay, of one axis. Returns their number. */
static size_t list_features(const cutting *c, linear_axis axis, size_t stacked, size_t whole, size_t *out) {
    size_t count = 0, each = whole / stacked;
    for (size_t i = 0; i < whole; i++) {
        const size_t at = i % each;
        const bool stays =
            axis == AXIS_HIDDEN || (axis == AXIS_HEADS ? c->heads[at / c->of->head_size] : c->neurons[at]);
        if (stays) out[count++] = i;
    }
    return count;
}

static void rebind(const cutting *c, const linear *of, size_t stacked) {
    const size_t rows = of->out / stacked;
    for (size_t i = 0, part = 0, biases = 0; i < c->bound->count; i++) {
        binding *b = &c->bound->items[i];
        if ((b->kind != BOUND_WEIGHT && b->kind != BOUND_BIAS) || b->linear != of) continue;
        const bool weight = b->kind == BOUND_WEIGHT;
        b->first = (weight ? part++ : biases++) * rows;
        if (weight) b->rows = rows;
        b->columns = weight ? of->in : rows;
    }
}

static rubato_status take_features(cutting *c, linear *of, const linear_role *role, size_t *outs, size_t *ins) {
    const size_t out = list_features(c, role->outputs, role->stacked, of->out, outs);
    const size_t in = list_features(c, role->inputs, 1, of->in, ins);
    if (out == of->out && in == of->in) return RUBATO_OK;
    float *rows = malloc(out * in * sizeof *rows), *row = malloc(of->in * sizeof *row);
    float *packed = arena_take_array(c->memory, packed_size(out, in), sizeof *packed);
    float *bias = arena_take_array(c->memory, out, sizeof *bias);
    rubato_status status = rows && row && packed && bias ? RUBATO_OK : fail_memory(c->error);
    for (size_t i = 0; i < out && status == RUBATO_OK; i++) {
        linear_unpack(of, outs[i], 1, row);
        for (size_t k = 0; k < in; k++) rows[i * in + k] = row[ins[k]];
        bias[i] = of->bias ? of->bias[outs[i]] : 0;
    }
    if (status == RUBATO_OK) {
        c->kernels->pack_transposed_f32(packed, rows, in, out, in);
        of->packed = packed;
        if (of->bias) of->bias = bias;
        of->in = in;
        of->out = out;
        rebind(c, of, role->stacked);
    }
    free(rows);
    free(row);
    return status;
}

static void cut_linear(void *user, linear *of, const linear_role *role) {
    cutting *c = user;
    if (c->status != RUBATO_OK) return;
    size_t *outs = malloc(size_max(of->out, 1) * sizeof *outs), *ins = malloc(size_max(of->in, 1) * sizeof *ins);
    c->status = outs && ins ? take_features(c, of, role, outs, ins) : fail_memory(c->error);
    free(outs);
    free(ins);
}

static rubato_status cut_layer(rubato_model *self, size_t number, cut_counts *cut, rubato_error *error) {
    layer *of = &self->body.layers[number];
    cutting c = {.of = of,
                 .heads = calloc(size_max(of->heads, 1), sizeof *c.heads),
                 .neurons = calloc(size_max(of->inner, 1), sizeof *c.neurons),
                 .bound = &self->bound,
                 .memory = &self->packed,
                 .kernels = kernel_table_named("untiled"),
                 .status = RUBATO_OK,
                 .error = error};
    if (!c.heads || !c.neurons) c.status = fail_memory(error);
    if (c.status == RUBATO_OK) layer_visit(of, find_units, &c);
    if (c.status == RUBATO_OK) {
        c.head_count = count_kept(c.heads, of->heads, c.has_heads);
        c.neuron_count = count_kept(c.neurons, of->inner, c.has_neurons);
        layer_visit(of, cut_linear, &c);
    }
    if (c.status == RUBATO_OK) {
        cut->heads += of->heads - c.head_count;
        cut->neurons += of->inner - c.neuron_count;
        of->heads = c.head_count;
        of->inner = c.neuron_count;
    }
    free(c.heads);
    free(c.neurons);
    return c.status;
}

/* Layers of one size need no list of sizes in config.json; only heads of all layers together are the configuration's.
 */
static void note_sizes(rubato_model *self) {
    encoder_config *config = &self->body.config;
    bool even = true, whole = true;
    for (size_t i = 0; i < config->layers; i++) {
        const layer *of = &self->body.layers[i];
        config->widths[i] = (layer_widths){(uint32_t)of->heads, (uint32_t)of->inner};
        even = even && of->inner == self->body.layers[0].inner;
        whole = whole && of->heads == config->heads;
    }
    config->uneven = !even || !whole;
    if (!config->uneven) config->inner = self->body.layers[0].inner;
}

rubato_status model_cut_empty(rubato_model *self, cut_counts *cut, rubato_error *error) {
    const encoder_config *config = &self->body.config;
    *cut = (cut_counts){0};
    if (config->groups || config->blocks || config->layers > MOST_UNEVEN || self->body.unique != self->body.depth)
        return fail(error, RUBATO_UNSUPPORTED, "layers that share weights or stand in blocks cannot be cut");
    if (!config_sorts_heads(config))
        return fail(error, RUBATO_UNSUPPORTED, "heads of %s attention cannot be cut", config->attention.kind->name);
    for (size_t i = 0; i < self->body.unique; i++) TRY(cut_layer(self, i, cut, error));
    if (cut->heads || cut->neurons) note_sizes(self);
    return RUBATO_OK;
}
