/* The mechanisms of feed-forward parts that config.json can name. Those of one family alone are not among them. */
#include "feeding/feeding.h"

/* feeding_NAME of each, the default one first. */
#define MECHANISMS(EACH) EACH(dense) EACH(memory) EACH(gated)

#define DECLARE(name) extern const feeding feeding_##name;
#define ENTRY(name) &feeding_##name.part,

MECHANISMS(DECLARE)

static const part_kind *const kinds[] = {MECHANISMS(ENTRY)};

const part_table feeding_table = {"feed_forward", kinds, sizeof kinds / sizeof kinds[0]};
