/* Two linear layers with an activation between them (Vaswani et al. 2017). */
#include "base/checked.h"
#include "feeding/feeding.h"
#include "feeding/neurons.h"
#include "tensor/operations.h"

typedef struct dense {
    linear up, down;
    activation act;
} dense;

static rubato_status load(void **out, const part_source *from) {
    dense *self = arena_take(from->load->with.memory, sizeof *self);
    char name[LOADER_NAME];
    const char *one[1] = {name};
    if (!self) return fail_memory(from->load->error);
    *self = (dense){.act = from->act};
    *out = self;
    part_name(name, from, from->names->up);
    TRY(loader_linear(from->load, &self->up, one, 1, from->inner, from->hidden));
    part_name(name, from, from->names->down);
    return loader_linear(from->load, &self->down, one, 1, from->hidden, from->inner);
}

static rubato_status allow_narrow(void *weights, arena *memory, rubato_error *error) {
    dense *self = weights;
    return neurons_allow_narrow(&self->up, &self->down, memory, error);
}

static void visit(void *weights, linear_visitor *visitor, void *user) {
    static const linear_role up = {
        .name = "up, activation", .part = PART_UP, .outputs = AXIS_NEURONS, .inputs = AXIS_HIDDEN, .stacked = 1};
    dense *self = weights;
    visitor(user, &self->up, &up);
    visitor(user, &self->down, &neurons_down);
}

static void forward(const void *weights, const run *on, const feeding_input *in, tensor out) {
    const dense *self = weights;
    const tensor x = in->x;
    const linear *up = linear_part(&self->up, 0, in->neurons, self->up.in, on->memory);
    const linear *down = linear_part(&self->down, 0, self->down.out, in->neurons, on->memory);
    if (!up || !down) {
        run_fail(on, RUBATO_OUT_OF_MEMORY);
        return;
    }
    tensor inner = run_between(on, x.rows, up, self->act, down);
    double begin = run_begin(on);
    run_linear(on, inner, x, up, self->act, NULL);
    run_end(on, PART_UP, begin);
    begin = run_begin(on);
    run_linear(on, out, inner, down, ACTIVATION_NONE, &in->residual);
    run_end(on, PART_DOWN, begin);
}

/* b rows, d features, f neurons: 2 b 2 d f. */
static operations count(const void *setting, const part_extent *of) {
    (void)setting;
    return (operations){.queries = 4 * (double)of->rows.leaving * (double)of->hidden * (double)of->units};
}

const feeding feeding_dense = {.part = {.name = "dense"},
                               .narrows = true,
                               .load = load,
                               .allow_narrow = allow_narrow,
                               .forward = forward,
                               .visit = visit,
                               .count = count};
