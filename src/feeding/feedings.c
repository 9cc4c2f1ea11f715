/* The kinds of feed-forward parts. */
#include "feeding/feeding.h"

static const part_kind *const kinds[] = {&feeding_dense.part};

const part_table feeding_table = {"feed_forward", kinds, sizeof kinds / sizeof kinds[0]};
