/* Grid lines of plots. */
#ifndef RUBATO_BASE_GRID_H
#define RUBATO_BASE_GRID_H

#include <math.h>

/* A distance between lines that gives four to nine lines over a span: 1, 2 or 5 times a power of ten. */
static inline double grid_step(double span) {
    const double power = pow(10, floor(log10(span / 4))), share = span / 4 / power;
    return power * (share >= 5 ? 5 : share >= 2 ? 2 : 1);
}

#endif
