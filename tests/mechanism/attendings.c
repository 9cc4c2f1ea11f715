/* The library's mechanisms of attention, and one more: this file stands for src/attention/attendings.c in programs of
 * tests, so that a mechanism that the library does not know goes through all of it. */
#define attending_table library_attendings
#include "attention/attendings.c"
#undef attending_table

#include <string.h>

#include "window_attention.h"

enum { LIBRARY_COUNT = sizeof kinds / sizeof kinds[0] };

static const part_kind *more[LIBRARY_COUNT + 1];

extern const part_table attending_table;
const part_table attending_table = {"attention", more, LIBRARY_COUNT + 1};

__attribute__((constructor)) static void fill_table(void) {
    memcpy(more, kinds, sizeof kinds);
    more[LIBRARY_COUNT] = &attending_window.part;
}
