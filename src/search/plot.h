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

/* What is drawn. Standard errors are drawn where they are known: full_error, and those of the frontier. */
typedef struct plot_points {
    double full, full_error; /* quality of the full model */
    const candidate *all;    /* with the baselines */
    size_t count;
    const candidate *frontier;
    size_t frontier_count;
} plot_points;

/* Writes FOLDER/frontier.svg. */
rubato_status plot_write(const char *folder, const plot_text *text, const plot_points *what, rubato_error *error);

#endif
