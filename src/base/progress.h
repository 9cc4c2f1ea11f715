/* A progress bar on standard error, drawn only when that is a terminal. */
#ifndef RUBATO_BASE_PROGRESS_H
#define RUBATO_BASE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct progress {
    const char *label, *unit;
    double begin_ms, drawn_ms;
    bool on;
} progress;

/* With `quiet` nothing is drawn. */
void progress_begin(progress *bar, const char *label, const char *unit, bool quiet);

/* Draws at most ten times per second: the share that is done, the speed, the time left. total 0: unknown. */
void progress_show(progress *bar, double done, double total);

/* Removes the bar. */
void progress_end(progress *bar);

#endif
