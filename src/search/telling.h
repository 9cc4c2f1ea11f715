/* The qualities that a frontier shows: measured on data on which no point was chosen. A quality on the data of the
 * search is too good, because the search took the points that look best there. */
#ifndef RUBATO_SEARCH_TELLING_H
#define RUBATO_SEARCH_TELLING_H

#include "search/judging.h"

/* Fills `out` with points made of a reduced frontier: their quality and cost with standard errors, the quality of the
 * full model, the name of the metric. A point that is not better than a cheaper one beyond noise is left out, and so is
 * one that is no better than the most frequent label. out->points [count] belongs to the caller also after a failure.
 * `told` is called after each point. */
rubato_status tell_frontier(judging *judge, const candidate *found, size_t count, frontier *out,
                            bool (*told)(void *user), void *user, rubato_error *error);

#endif
