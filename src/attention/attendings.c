/* The mechanisms of attention. */
#include "attention/attending.h"

static const part_kind *const kinds[] = {&attending_softmax.part};

const part_table attending_table = {"attention", kinds, sizeof kinds / sizeof kinds[0]};
