/* The Right Tool (Schwartz et al. 2020): a subject leaves when the probability of the best class is high enough. */
#include "elastic/exit.h"

static bool leaves(const exit_setting *self, const exit_view *view) {
    float probability;
    exit_best(view->logits, view->classes, &probability);
    return view->classes > 1 && probability >= self->threshold;
}

const exit_rule exit_confidence = {
    .name = "confidence", .threshold = "probability at least, 0 to 1", .counts = false, .leaves = leaves};
