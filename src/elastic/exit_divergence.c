/* F-PABEE (Gao et al. 2023): a subject leaves when enough exits in a row are near the previous exit. The divergence is
 * KL(now || previous), computed from logits, for any number of classes. */
#include <math.h>

#include "elastic/exit.h"

static bool leaves(const exit_setting *self, const exit_view *view) {
    if (!view->before) return false;
    float best, best_below, near = 0;
    size_t now = exit_best(view->logits, view->classes, &best);
    size_t below = exit_best(view->before, view->classes, &best_below);
    for (size_t j = 0; j < view->classes; j++) {
        /* ln p = z - z_best + ln p_best */
        float a = view->logits[j] - view->logits[now] + logf(best);
        float b = view->before[j] - view->before[below] + logf(best_below);
        near += expf(a) * (a - b);
    }
    *view->memory = near < self->threshold ? *view->memory + 1 : 0;
    return *view->memory >= (float)self->patience && self->patience > 0;
}

const exit_rule exit_divergence = {
    .name = "divergence", .threshold = "divergence below", .counts = true, .leaves = leaves};
