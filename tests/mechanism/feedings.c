/* The library's feed-forward parts, and one more: as attendings.c. */
#define feeding_table library_feedings
#include "feeding/feedings.c"
#undef feeding_table

#include <string.h>

enum { LIBRARY_COUNT = sizeof kinds / sizeof kinds[0] };

extern const feeding feeding_glu;

static const part_kind *more[LIBRARY_COUNT + 1];

extern const part_table feeding_table;
const part_table feeding_table = {"feed_forward", more, LIBRARY_COUNT + 1};

__attribute__((constructor)) static void fill_table(void) {
    memcpy(more, kinds, sizeof kinds);
    more[LIBRARY_COUNT] = &feeding_glu.part;
}
