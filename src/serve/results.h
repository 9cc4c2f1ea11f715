/* Running items with the library and storing the results. */
#ifndef RUBATO_SERVE_RESULTS_H
#define RUBATO_SERVE_RESULTS_H

#include "serve/queue.h"

/* Runs items of exchanges with equal options at one point. Fills their values or results, and their costs. */
rubato_status results_run(hosted *model, item **items, size_t count, const char *budget, rubato_error *error);

#endif
