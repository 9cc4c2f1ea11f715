/* The use of memories over training, as a picture. */
#ifndef RUBATO_CLI_MEMORY_PLOT_H
#define RUBATO_CLI_MEMORY_PLOT_H

#include <stddef.h>

#include "base/error.h"

/* Draws the share of slots that are the best of some token, by step, for every memory of every run, and writes an SVG
 * file. A run is a folder with metrics.jsonl, which training with a dev set writes. Fails: NOT_FOUND, IO, BAD_DATA
 * where a run tells nothing of memories. */
rubato_status memory_plot(const char *path, const char *const *runs, size_t count, rubato_error *error);

#endif
