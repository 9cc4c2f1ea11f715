/* Running items with the library and keeping what came out. */
#ifndef RUBATO_SERVE_RESULTS_H
#define RUBATO_SERVE_RESULTS_H

#include "serve/queue.h"

/* Runs items of like exchanges at a point; fills their values or results and costs. */
rubato_status results_run(hosted *model, item **items, size_t count, const char *budget, rubato_error *error);

#endif
