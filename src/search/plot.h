/* The frontier as a picture: quality against cost, the searched points as a line, the baselines beside it. */
#ifndef RUBATO_SEARCH_PLOT_H
#define RUBATO_SEARCH_PLOT_H

#include "base/error.h"
#include "search/pareto.h"

typedef struct plot_text {
    const char *task, *metric, *data; /* data: the file of the qualities */
    size_t held_out;                  /* examples on which no point was chosen; 0: the points were chosen on the data */
    bool by_ms;
} plot_text;

/* Writes FOLDER/frontier.svg. full: quality of the full model; a candidate's quality_error is drawn where it is known.
 */
rubato_status plot_write(const char *folder, const plot_text *text, double full, const candidate *all, size_t count,
                         const candidate *frontier, size_t frontier_count, rubato_error *error);

#endif
