/* Energy of a piece of work: what the processor says (RAPL, through Linux's powercap), or else an estimate. */
#ifndef RUBATO_BASE_ENERGY_H
#define RUBATO_BASE_ENERGY_H

#include <stdbool.h>
#include <stddef.h>

enum { ENERGY_DOMAINS = 16 };

/* One of a meter's readings. Counters belong to processor packages and run over. */
typedef struct energy_reading {
    size_t count; /* 0: the processor does not tell, or the files cannot be read */
    double joules[ENERGY_DOMAINS], range[ENERGY_DOMAINS];
} energy_reading;

typedef struct energy_meter {
    energy_reading begin;
    double begin_ms;
} energy_meter;

/* The energy that a busy hardware thread is taken to need where nothing is measured: that of a server of 128 threads
 * and 512 W. */
#define ENERGY_WATTS_A_THREAD 4.0

void energy_begin(energy_meter *self);

/* Joules since energy_begin. Measured, they are of the whole processor, with all that ran on it beside; *measured tells
 * which it is. `threads` that were busy: for the estimate. */
double energy_end(const energy_meter *self, size_t threads, bool *measured);

/* Reads the counters below a folder, /sys/class/powercap. For tests. */
void energy_read(energy_reading *out, const char *folder);

/* Joules between two readings. */
double energy_between(const energy_reading *begin, const energy_reading *end);

#endif
