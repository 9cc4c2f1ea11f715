/* What feed-forward parts with neurons share. */
#include "feeding/neurons.h"

#include "base/checked.h"
#include "base/error.h"
#include "elastic/point.h"

const linear_role neurons_down = {
    .name = "down", .part = PART_DOWN, .outputs = AXIS_HIDDEN, .inputs = AXIS_NEURONS, .stacked = 1, .residual = true};

rubato_status neurons_allow_narrow(const linear *up, linear *down, arena *memory, rubato_error *error) {
    if (up->in % PANEL || down->in % NEURON_STEP)
        return fail(error, RUBATO_UNSUPPORTED,
                    "narrower layers need a hidden size and an inner size that are multiples of %d; these are %zu and "
                    "%zu",
                    PANEL, up->in, down->in);
    return linear_make_prefixes(down, memory, error);
}
