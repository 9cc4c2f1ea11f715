/* MobileBERT's feed-forward parts (Sun et al. 2020): several small ones on narrow rows, then back to the width of the
 * rows between layers, which attention handed on beside the narrow ones (attention/bottleneck.h). */
#include "feeding/stacked.h"

#include <stdio.h>

#include "tensor/operations.h"

typedef struct step {
    linear up, down;
    norm norm;
} step;

typedef struct stacked {
    step *steps; /* [setting->stack] */
    linear widen;
    const stacked_setting *setting;
    size_t hidden;
    activation act;
} stacked;

static rubato_status load_linear(linear *out, const part_source *from, const char *pattern, size_t number, size_t rows,
                                 size_t columns) {
    char name[LOADER_NAME];
    const char *one[1] = {name};
    loader_name(name, sizeof name, from->load->prefix, pattern, from->first, number);
    return loader_linear(from->load, out, one, 1, rows, columns);
}

static rubato_status load_norm(norm *out, const part_source *from, const char *pattern, size_t number, float epsilon) {
    const stacked_setting *setting = from->setting;
    char name[LOADER_NAME];
    loader_name(name, sizeof name, from->load->prefix, pattern, from->first, number);
    TRY(loader_norm(from->load, out, name, setting->narrow, epsilon));
    out->plain = from->plain;
    return RUBATO_OK;
}

static const float LAST_EPSILON = 1e-5f; /* transformers leaves layer_norm_eps aside there */

#define LAYER "encoder.layer.%zu."

static rubato_status load(void **out, const part_source *from) {
    const stacked_setting *setting = from->setting;
    stacked *self = arena_take(from->load->with.memory, sizeof *self);
    if (!self) return fail_memory(from->load->error);
    *self = (stacked){.setting = setting,
                      .hidden = from->hidden,
                      .act = from->act,
                      .steps = arena_take_array(from->load->with.memory, setting->stack, sizeof *self->steps)};
    if (!self->steps) return fail_memory(from->load->error);
    *out = self;
    const size_t narrow = setting->narrow, last = setting->stack - 1;
    for (size_t i = 0; i < last; i++) {
        step *s = &self->steps[i];
        *s = (step){0};
        TRY(load_linear(&s->up, from, LAYER "ffn.%zu.intermediate.dense", i, from->inner, narrow));
        TRY(load_linear(&s->down, from, LAYER "ffn.%zu.output.dense", i, narrow, from->inner));
        TRY(load_norm(&s->norm, from, LAYER "ffn.%zu.output.LayerNorm", i, from->epsilon));
    }
    step *s = &self->steps[last];
    *s = (step){0};
    TRY(load_linear(&s->up, from, LAYER "intermediate.dense", 0, from->inner, narrow));
    TRY(load_linear(&s->down, from, LAYER "output.dense", 0, narrow, from->inner));
    TRY(load_norm(&s->norm, from, LAYER "output.LayerNorm", 0, LAST_EPSILON));
    return load_linear(&self->widen, from, LAYER "output.bottleneck.dense", 0, from->hidden, narrow);
}

static void visit(void *weights, linear_visitor *visitor, void *user) {
    static const linear_role up = {
        .name = "up, activation", .part = PART_UP, .outputs = AXIS_HIDDEN, .inputs = AXIS_HIDDEN, .stacked = 1};
    static const linear_role down = {.name = "down",
                                     .part = PART_DOWN,
                                     .outputs = AXIS_HIDDEN,
                                     .inputs = AXIS_HIDDEN,
                                     .stacked = 1,
                                     .residual = true};
    stacked *self = weights;
    for (size_t i = 0; i < self->setting->stack; i++) {
        visitor(user, &self->steps[i].up, &up);
        visitor(user, &self->steps[i].down, &down);
    }
    visitor(user, &self->widen, &down);
}

static void forward(const void *weights, const run *on, const feeding_input *in, tensor out) {
    const stacked *self = weights;
    const tensor x = in->x;
    tensor wide = tensor_columns(x, 0, self->hidden), narrow = tensor_columns(x, self->hidden, self->setting->narrow);
    for (size_t i = 0; i < self->setting->stack; i++) {
        const step *s = &self->steps[i];
        tensor inner = run_tensor(on, x.rows, s->up.out);
        double begin = run_begin(on);
        run_linear(on, inner, narrow, &s->up, self->act, NULL);
        run_end(on, PART_UP, begin);
        begin = run_begin(on);
        tensor sum = run_tensor(on, x.rows, narrow.columns);
        run_linear(on, sum, inner, &s->down, ACTIVATION_NONE, &narrow);
        tensor normal = run_over(on, sum, sum.rows);
        run_layer_norm(on, normal, sum, &s->norm);
        narrow = normal;
        run_end(on, PART_DOWN, begin);
    }
    double begin = run_begin(on);
    run_linear(on, out, narrow, &self->widen, ACTIVATION_NONE, &wide);
    run_end(on, PART_DOWN, begin);
}

static operations count(const void *given, const part_extent *of) {
    const stacked_setting *s = given;
    const double n = (double)s->narrow;
    return (operations){.queries = (double)of->rows.leaving *
                                   (4 * (double)s->stack * n * (double)of->units + 2 * n * (double)of->hidden)};
}

static void describe(const void *setting, char *out, size_t bytes) {
    const stacked_setting *s = setting;
    snprintf(out, bytes, "%u of %u features", s->stack, s->narrow);
}

const feeding feeding_stacked = {.part = {.name = "stacked", .describe = describe},
                                 .load = load,
                                 .forward = forward,
                                 .visit = visit,
                                 .count = count};
