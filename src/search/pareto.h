/* Candidates with their results, and the Pareto set: the candidates that no other candidate dominates. */
#ifndef RUBATO_SEARCH_PARETO_H
#define RUBATO_SEARCH_PARETO_H

#include <stdbool.h>
#include <stddef.h>

#include "elastic/point.h"

typedef struct candidate {
    point gene;
    double cost;        /* as a part of the full model's */
    double glimpse;     /* quality on a part of the data; NaN: not judged */
    double quality;     /* quality on all data; NaN: dropped after the glimpse */
    const char *family; /* "search", or the name of the baseline */
} candidate;

/* Sorts by rising cost, removes candidates without quality, and keeps those whose quality is strictly higher than that
 * of every cheaper candidate. Returns the number that stay, at the front. */
size_t pareto_reduce(candidate *all, size_t count);

/* Thins out a reduced set: removes a candidate that costs more than 1 - step of a dearer, and so better, one that
 * stays. A budget between the two would gain nothing. Returns the number that stay, at the front. */
size_t pareto_thin(candidate *all, size_t count, double step);

/* The area under the steps from the cheapest to the dearest, as a part of the cost between them; it shows the search's
 * progress. */
double pareto_area(const candidate *all, size_t count);

/* The best quality of the candidates that cost at most `cost`; -INFINITY when there are none. `glimpse`: compares the
 * glimpses. */
double pareto_best(const candidate *all, size_t count, double cost, bool glimpse);

#endif
