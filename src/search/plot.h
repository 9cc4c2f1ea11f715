/* The frontier as a picture: quality against cost, the searched points as a line, the baselines beside it. */
#ifndef RUBATO_SEARCH_PLOT_H
#define RUBATO_SEARCH_PLOT_H

#include "base/error.h"
#include "search/pareto.h"

/* Writes FOLDER/frontier.svg. */
rubato_status plot_write(const char *folder, const candidate *all, size_t count, const candidate *frontier,
                         size_t frontier_count, const char *metric, bool by_ms, const char *task, rubato_error *error);

#endif
