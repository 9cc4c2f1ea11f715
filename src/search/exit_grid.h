/* The exit settings that the search tries. */
#ifndef RUBATO_SEARCH_EXIT_GRID_H
#define RUBATO_SEARCH_EXIT_GRID_H

#include "model/exits.h"

enum { MOST_EXIT_SETTINGS = 128 };

/* Settings of the rule for which a model's exits were trained, from late to early leaving, over the range of the
 * published ones. out [MOST_EXIT_SETTINGS]; returns their number. */
size_t exit_grid(const exits *from, exit_setting *out);

/* For each exit, the setting with which every sequence leaves there: a shallower model with its own classifier, the
 * baseline. */
size_t exit_grid_fixed(const exits *from, exit_setting *out);

#endif
