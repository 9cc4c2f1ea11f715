/* A gated feed-forward part (Shazeer 2020), as somebody would add it: down(act(up(x)) * gate(x)). */
#include "base/checked.h"
#include "elastic/point.h"
#include "feeding/feeding.h"
#include "tensor/operations.h"

typedef struct gated {
    linear up, gate, down;
    activation act;
} gated;

static rubato_status load(void **out, const part_source *from) {
    gated *self = arena_take(from->load->with.memory, sizeof *self);
    char name[LOADER_NAME];
    const char *one[1] = {name};
    if (!self) return fail_memory(from->load->error);
    *self = (gated){.act = from->act};
    *out = self;
    part_name(name, from, from->names->up);
    TRY(loader_linear(from->load, &self->up, one, 1, from->inner, from->hidden));
    part_name_beside(name, from, from->names->up, "gate");
    TRY(loader_linear(from->load, &self->gate, one, 1, from->inner, from->hidden));
    part_name(name, from, from->names->down);
    return loader_linear(from->load, &self->down, one, 1, from->hidden, from->inner);
}

static rubato_status allow_narrow(void *weights, arena *memory, rubato_error *error) {
    gated *self = weights;
    if (self->up.in % PANEL || self->up.out % NEURON_STEP)
        return fail(error, RUBATO_UNSUPPORTED, "widths %zu and %zu are not multiples of %d", self->up.in, self->up.out,
                    PANEL);
    return linear_make_prefixes(&self->down, memory, error);
}

static void visit(void *weights, linear_visitor *visitor, void *user) {
    static const linear_role up = {
        .name = "up, activation", .part = PART_UP, .outputs = AXIS_NEURONS, .inputs = AXIS_HIDDEN, .stacked = 1};
    static const linear_role down = {.name = "down",
                                     .part = PART_DOWN,
                                     .outputs = AXIS_HIDDEN,
                                     .inputs = AXIS_NEURONS,
                                     .stacked = 1,
                                     .residual = true};
    gated *self = weights;
    visitor(user, &self->up, &up);
    visitor(user, &self->gate, &up);
    visitor(user, &self->down, &down);
}

static void forward(const void *weights, const run *on, const feeding_input *in, tensor out) {
    const gated *self = weights;
    const tensor x = in->x;
    const size_t neurons = in->neurons;
    const linear *up = linear_part(&self->up, 0, neurons, self->up.in, on->memory);
    const linear *gate = linear_part(&self->gate, 0, neurons, self->gate.in, on->memory);
    const linear *down = linear_part(&self->down, 0, self->down.out, neurons, on->memory);
    tensor active = run_tensor(on, x.rows, neurons), gates = run_tensor(on, x.rows, neurons);
    tensor product = run_over(on, active, x.rows);
    if (!up || !gate || !down) run_fail(on, RUBATO_OUT_OF_MEMORY);
    double begin = run_begin(on);
    run_linear(on, active, x, up, self->act, NULL);
    run_linear(on, gates, x, gate, ACTIVATION_NONE, NULL);
    run_multiply(on, product, active, gates);
    run_end(on, PART_UP, begin);
    begin = run_begin(on);
    run_linear(on, out, product, down, ACTIVATION_NONE, &in->residual);
    run_end(on, PART_DOWN, begin);
}

/* b rows, d features, f neurons: 3 b 2 d f. */
static operations count(const void *setting, const part_extent *of) {
    (void)setting;
    return (operations){.queries = 6 * (double)of->rows.leaving * (double)of->hidden * (double)of->units};
}

const feeding feeding_glu = {.part = {.name = "glu", .foreign = true},
                             .narrows = true,
                             .load = load,
                             .allow_narrow = allow_narrow,
                             .forward = forward,
                             .visit = visit,
                             .count = count};
