/* PABEE (Zhou et al. 2020): a subject leaves when enough exits in a row agree with the previous exit. Values agree when
 * their distance is below the threshold. */
#include <math.h>

#include "elastic/exit.h"

static bool leaves(const exit_setting *self, const exit_view *view) {
    float ignored;
    bool same = false;
    if (view->before && view->classes == 1)
        same = fabsf(view->logits[0] - view->before[0]) < self->threshold;
    else if (view->before)
        same = exit_best(view->logits, view->classes, &ignored) == exit_best(view->before, view->classes, &ignored);
    *view->memory = same ? *view->memory + 1 : 0;
    return *view->memory >= (float)self->patience && self->patience > 0;
}

const exit_rule exit_patience = {
    .name = "patience", .threshold = "distance of values below", .counts = true, .leaves = leaves};
