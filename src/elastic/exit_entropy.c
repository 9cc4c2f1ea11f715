/* BranchyNet (Teerapittayanon et al. 2016), DeeBERT (Xin et al. 2020), FastBERT (Liu et al. 2020): a subject leaves
 * when the entropy is low. The entropy is divided by its largest value, so that a threshold means the same for any
 * number of classes. */
#include "elastic/exit.h"

static bool leaves(const exit_setting *self, const exit_view *view) {
    return exit_uncertainty(view->logits, view->classes) < self->threshold;
}

const exit_rule exit_entropy = {
    .name = "entropy", .threshold = "entropy below, 0 to 1", .counts = false, .leaves = leaves};
