/* A gated feed-forward part (Shazeer 2020, "GLU Variants Improve Transformer"): down(act(up x) * gate x). */
#include "base/checked.h"
#include "feeding/feeding.h"
#include "feeding/neurons.h"
#include "tensor/operations.h"

typedef struct gated {
    linear up; /* and the gate, stacked */
    linear down;
    activation act;
    bool gate_first; /* of the stack */
} gated;

static rubato_status load(void **out, const part_source *from) {
    gated *self = arena_take(from->load->with.memory, sizeof *self);
    char names[2][LOADER_NAME];
    const char *two[2] = {names[0], names[1]};
    if (!self) return fail_memory(from->load->error);
    *self = (gated){.act = from->act, .gate_first = from->names->gate_first};
    *out = self;
    part_name(names[0], from, from->names->up);
    if (from->names->gate)
        part_name(names[1], from, from->names->gate);
    else
        part_name_beside(names[1], from, from->names->up, "gate");
    TRY(loader_linear(from->load, &self->up, two, 2, from->inner, from->hidden));
    part_name(names[0], from, from->names->down);
    return loader_linear(from->load, &self->down, two, 1, from->hidden, from->inner);
}

static rubato_status allow_narrow(void *weights, arena *memory, rubato_error *error) {
    gated *self = weights;
    return neurons_allow_narrow(&self->up, &self->down, memory, error);
}

static void visit(void *weights, linear_visitor *visitor, void *user) {
    static const linear_role up = {
        .name = "up, gate", .part = PART_UP, .outputs = AXIS_NEURONS, .inputs = AXIS_HIDDEN, .stacked = 2};
    gated *self = weights;
    visitor(user, &self->up, &up);
    visitor(user, &self->down, &neurons_down);
}

/* The products of both halves, of the first neurons. */
static bool read_halves(const gated *self, const run *on, const feeding_input *in, tensor out[2]) {
    const size_t whole = self->down.in;
    if (in->neurons == whole) {
        tensor both = run_tensor(on, in->x.rows, 2 * whole);
        run_linear(on, both, in->x, &self->up, ACTIVATION_NONE, NULL);
        for (size_t i = 0; i < 2; i++) out[i] = tensor_columns(both, i * whole, whole);
        return !run_failed(on);
    }
    for (size_t i = 0; i < 2; i++) {
        const linear *half = linear_part(&self->up, i * whole, in->neurons, self->up.in, on->memory);
        if (!half) {
            run_fail(on, RUBATO_OUT_OF_MEMORY);
            return false;
        }
        out[i] = run_tensor(on, in->x.rows, in->neurons);
        run_linear(on, out[i], in->x, half, ACTIVATION_NONE, NULL);
    }
    return !run_failed(on);
}

static void forward(const void *weights, const run *on, const feeding_input *in, tensor out) {
    const gated *self = weights;
    tensor halves[2];
    double begin = run_begin(on);
    if (!read_halves(self, on, in, halves)) return;
    tensor active = run_tensor(on, in->x.rows, in->neurons);
    tensor product = run_over(on, active, active.rows);
    run_activation(on, active, halves[self->gate_first], self->act);
    run_multiply(on, product, active, halves[!self->gate_first]);
    run_end(on, PART_UP, begin);
    const linear *down = linear_part(&self->down, 0, self->down.out, in->neurons, on->memory);
    if (!down) run_fail(on, RUBATO_OUT_OF_MEMORY);
    if (run_failed(on)) return;
    begin = run_begin(on);
    run_linear(on, out, product, down, ACTIVATION_NONE, &in->residual);
    run_end(on, PART_DOWN, begin);
}

/* b rows, d features, f neurons: 3 products of 2 b d f. */
static operations count(const void *setting, const part_extent *of) {
    (void)setting;
    return (operations){.queries = 6 * (double)of->rows.leaving * (double)of->hidden * (double)of->units};
}

const feeding feeding_gated = {.part = {.name = "gated", .foreign = true},
                               .narrows = true,
                               .load = load,
                               .allow_narrow = allow_narrow,
                               .forward = forward,
                               .visit = visit,
                               .count = count};
