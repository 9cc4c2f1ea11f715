/* Candidates with what was found out about them, and those that nothing dominates. */
#ifndef RUBATO_SEARCH_PARETO_H
#define RUBATO_SEARCH_PARETO_H

#include <stdbool.h>
#include <stddef.h>

#include "elastic/point.h"

typedef struct candidate {
    point gene;
    double cost;        /* of the full model */
    double glimpse;     /* quality on a part of the data; NaN: not looked at */
    double quality;     /* on all of it; NaN: dropped after the glimpse */
    const char *family; /* "search", or the baseline it belongs to */
} candidate;

/* Sorts by rising cost and keeps those whose quality is strictly higher than that of everything cheaper; candidates
 * without quality go. Returns how many stay, at the front. */
size_t pareto_reduce(candidate *all, size_t count);

/* Of a reduced set, leaves out what costs more than 1 - step of something dearer, and so better, that stays: a budget
 * between the two gains nothing worth its loss. Returns how many stay, at the front. */
size_t pareto_thin(candidate *all, size_t count, double step);

/* Area under the steps from the cheapest to the dearest, as a part of the cost between them: the search's progress. */
double pareto_area(const candidate *all, size_t count);

/* The best quality of what costs no more; -INFINITY when nothing does. `glimpse`: of the glimpses. */
double pareto_best(const candidate *all, size_t count, double cost, bool glimpse);

#endif
