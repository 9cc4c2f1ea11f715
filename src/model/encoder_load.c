/* Loading an encoder. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/text_buffer.h"
#include "model/encoder.h"

/* Changes the layer number in the names of parameters that were bound since `first` and whose names match the pattern,
 * to `now`. */
static rubato_status renumber(loader *load, const char *pattern, size_t first, size_t now) {
    size_t lead = (size_t)(strstr(pattern, "%zu") - pattern);
    for (size_t i = first; load->bound && i < load->bound->count; i++) {
        char *old = load->bound->items[i].name, made[LOADER_NAME + 32];
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

/* Sets the weights that each layer uses. */
static rubato_status lay_out(encoder *self, const encoder_plan *plan, rubato_error *error) {
    const encoder_config *config = &self->config;
    size_t inner = config->groups ? config->inner_layers : 1, decoder = plan->decoder ? config->decoder_layers : 0;
    self->unique = config->groups ? config->groups * inner : config->layers;
    for (size_t i = 0; i < config->blocks; i++) self->unique -= config->block_size[i] * (config->block_repeats[i] - 1);
    self->unique += decoder;
    self->depth = config->layers * inner + decoder;
    self->layers = calloc(size_max(self->unique, 1), sizeof *self->layers);
    self->order = calloc(size_max(self->depth, 1), sizeof *self->order);
    self->sizes = calloc(size_max(self->depth, 1), sizeof *self->sizes);
    if (!self->layers || !self->order || !self->sizes) return fail_memory(error);
    self->shape = (encoder_shape){config->hidden, self->depth, self->sizes, .merging = config->merging};
    for (size_t i = 0; i < self->depth; i++) {
        size_t group = config->groups ? (i / inner) * config->groups / config->layers : i;
        self->order[i] = (uint16_t)(config->groups ? group * inner + i % inner : i);
    }
    if (!config->blocks) return RUBATO_OK;
    if (self->depth > 64) return fail(error, RUBATO_UNSUPPORTED, "%zu layers in blocks", self->depth);
    size_t at = 0, weights = 0;
    for (size_t block = 0; block < config->blocks; block++) {
        if (block > 0) self->shape.merges |= (uint64_t)1 << at;
        for (size_t i = 0; i < config->block_size[block]; i++, weights++)
            for (size_t again = 0; again < config->block_repeats[block]; again++) self->order[at++] = (uint16_t)weights;
    }
    self->shape.decoder = decoder ? at : 0;
    while (at < self->depth) self->order[at++] = (uint16_t)weights++;
    return RUBATO_OK;
}

/* The numbers in the names of each layer's tensors, in order. */
typedef struct layer_names {
    const tensor_names *names;
    size_t first, second;
} layer_names;

/* For layer `number`: its own number; or group and inner layer; or block and layer within it, the decoder last. */
static layer_names names_of(const encoder_plan *plan, size_t number) {
    const encoder_config *config = plan->config;
    size_t inner = config->groups ? config->inner_layers : 1, block = 0;
    if (!config->blocks)
        return (layer_names){&plan->kind->names, plan->layers ? plan->layers[number] : number / inner, number % inner};
    for (; block < config->blocks && number >= config->block_size[block]; block++) number -= config->block_size[block];
    return block < config->blocks ? (layer_names){&plan->kind->names, block, number}
                                  : (layer_names){plan->kind->decoder, number, number};
}

static void count_linear(void *user, linear *of, const linear_role *role) {
    (void)of, (void)role;
    ++*(size_t *)user;
}

/* Records sizes and mechanisms of the layers that run, for counting. */
static void note_sizes(encoder *self) {
    for (size_t i = 0; i < self->depth; i++) {
        const layer *from = &self->layers[self->order[i]];
        self->sizes[i] = (layer_sizes){.heads = from->heads,
                                       .head_size = from->head_size,
                                       .inner = from->inner,
                                       .remembers = from->feeding->remembers,
                                       .attention = from->attending->count,
                                       .feeding = from->feeding->count,
                                       .attention_setting = config_attention(&self->config, self->order[i])->setting,
                                       .feeding_setting = config_feeding(&self->config, self->order[i])->setting};
    }
}

/* What the layers with the first mechanism of attention share, or those with the other one. */
static rubato_status make_shared(encoder *self, const part_source *from, int other) {
    const encoder_config *config = &self->config;
    const part_choice *choice = config_mechanism(config, other);
    part_source own = *from;
    own.setting = choice->setting;
    if (other && !config->other_attention_layers) return RUBATO_OK;
    if (config->theta[other] > 0)
        TRY(rotary_make(&self->turns[other], config->theta[other], config->slower > 0 ? config->slower : 1,
                        from->head_size, from->longest, from->load->with.memory, from->load->error));
    return attending_of(choice)->make_shared ? attending_of(choice)->make_shared(&self->shared[other], &own)
                                             : RUBATO_OK;
}

static rubato_status load_layers(encoder *self, loader *load, const encoder_plan *plan) {
    const encoder_config *config = &self->config;
    void *kept = NULL;
    part_source from = {.load = load,
                        .names = &plan->kind->names,
                        .hidden = config->hidden,
                        .heads = config->heads,
                        .head_size = (config->attended ? config->attended
                                      : config->narrow ? config->narrow
                                                       : config->hidden) /
                                     config->heads,
                        .inner = config->inner,
                        .longest = encoder_max_length(config),
                        .epsilon = config->epsilon,
                        .plain = config->plain_norms,
                        .pre_norm = config->pre_norm,
                        .two_streams = config->two_streams,
                        .act = config->act,
                        .kept = &kept};
    for (int i = 0; i < 2; i++) TRY(make_shared(self, &from, i));
    const float *const *smooth = plan->smooth;
    for (size_t i = 0; i < self->unique; i++) {
        size_t bound = load->bound ? load->bound->count : 0, linears = 0;
        layer_names at = names_of(plan, i);
        layer_widths widths = config_widths(config, i);
        part_source own = from;
        own.names = at.names;
        own.first = at.first;
        own.second = at.second;
        own.heads = widths.heads;
        own.inner = widths.inner;
        load->with.precision = plan->each ? plan->each[i] : plan->precision;
        load->with.both = plan->both;
        load->smooth = smooth;
        const int other = config_attention(config, i) == &config->other_attention;
        own.shared = self->shared[other];
        own.rotary = self->turns[other].turns ? &self->turns[other] : NULL;
        TRY(layer_load(&self->layers[i], config_attention(config, i), config_feeding(config, i), config->epsilon,
                       &own));
        layer_visit(&self->layers[i], count_linear, &linears);
        if (smooth) smooth += linears;
        if (plan->layers) TRY(renumber(load, plan->kind->names.output_norm, bound, i));
    }
    load->with.precision = PRECISION_F32;
    load->with.both = false;
    load->smooth = NULL;
    load->with.smooth = NULL;
    for (int i = 0; i < 2; i++) {
        const part_choice *choice = config_mechanism(config, i);
        from.setting = choice->setting;
        if (self->shared[i] && attending_of(choice)->load_shared)
            TRY(attending_of(choice)->load_shared(self->shared[i], &from));
    }
    char name[LOADER_NAME];
    if (!plan->kind->names.final_norm) return RUBATO_OK;
    loader_name(name, sizeof name, load->prefix, plan->kind->names.final_norm, 0, 0);
    return loader_norm(load, &self->final_norm, name, config_width(config), config->epsilon);
}

rubato_status encoder_load(encoder *self, loader *load, const encoder_plan *plan) {
    *self = (encoder){.config = *plan->config};
    size_t before = load->parameters;
    uint64_t *fresh = load->fresh; /* heads are made where they are missing, layers are not */
    if (!load->new_all) load->fresh = NULL;
    load->place = IN_BODY;
    load->with.no_bias = self->config.no_bias;
    TRY(embeddings_load(&self->tables, load, &plan->kind->names, &self->config));
    TRY(lay_out(self, plan, load->error));
    TRY(load_layers(self, load, plan));
    load->with.no_bias = false;
    note_sizes(self);
    self->config.first_norm = self->config.pre_norm && self->unique && self->layers[0].attention_norm.gamma;
    self->parameters = load->parameters - before;
    load->place = IN_HEAD;
    load->fresh = fresh;
    return RUBATO_OK;
}

bool encoder_has_both(const encoder *self) {
    bool both = false;
    if (self->unique) layer_precision(&self->layers[0], &both);
    return both;
}

const char *encoder_precision(const encoder *self) {
    if (self->unique == 0) return precision_name(PRECISION_F32);
    precision first = layer_precision(&self->layers[0], NULL);
    for (size_t i = 1; i < self->unique; i++)
        if (layer_precision(&self->layers[i], NULL) != first) return "mixed";
    if (encoder_has_both(self)) return first == PRECISION_INT8 ? "f32+int8" : "f32+bf16";
    return precision_name(first);
}

typedef struct layer_counts {
    size_t all, sparse;
} layer_counts;

static void count_layer(void *user, linear *of, const linear_role *role) {
    layer_counts *counts = user;
    (void)role;
    counts->all++;
    counts->sparse += of->sparse != NULL;
}

size_t encoder_sparse(const encoder *self, size_t *all) {
    layer_counts counts = {0};
    encoder_visit(self, count_layer, &counts);
    *all = counts.all;
    return counts.sparse;
}

void encoder_free(encoder *self) {
    free(self->layers);
    free(self->order);
    free(self->sizes);
    *self = (encoder){0};
}
