/* Adaptive computation time (Graves 2016): a subject leaves when the probabilities to halt have added up to 1. */
#include "elastic/exit.h"

static bool leaves(const exit_setting *self, const exit_view *view) {
    *view->memory += view->signal;
    return *view->memory >= 1 - self->threshold;
}

const exit_rule exit_halting = {
    .name = "halting", .threshold = "what may be missing from 1", .counts = false, .leaves = leaves};
