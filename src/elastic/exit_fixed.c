/* Every subject leaves at the first exit that the setting allows: a shallower model with a classifier of its own. */
#include "elastic/exit.h"

static bool leaves(const exit_setting *self, const exit_view *view) {
    (void)self;
    (void)view;
    return true;
}

const exit_rule exit_fixed = {.name = "fixed", .threshold = NULL, .counts = false, .leaves = leaves};
