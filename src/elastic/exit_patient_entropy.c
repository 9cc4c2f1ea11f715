/* PCEE-BERT (Zhang et al. 2022): a subject leaves when enough exits in a row are certain enough. */
#include "elastic/exit.h"

static bool leaves(const exit_setting *self, const exit_view *view) {
    bool sure = exit_uncertainty(view->logits, view->classes) < self->threshold;
    *view->memory = sure ? *view->memory + 1 : 0;
    return *view->memory >= (float)self->patience && self->patience > 0;
}

const exit_rule exit_patient_entropy = {
    .name = "patient-entropy", .threshold = "entropy below, 0 to 1", .counts = true, .leaves = leaves};
