/* What feed-forward parts with neurons share. */
#ifndef RUBATO_FEEDING_NEURONS_H
#define RUBATO_FEEDING_NEURONS_H

#include "tensor/parameter.h"
#include "tensor/visit.h"

/* The layer from neurons to the hidden size, to whose product the residual is added. */
extern const linear_role neurons_down;

/* Prepares `down` for running only the first neurons; `up` reads the rows. Fails: UNSUPPORTED where widths do not
 * divide. */
rubato_status neurons_allow_narrow(const linear *up, linear *down, arena *memory, rubato_error *error);

#endif
