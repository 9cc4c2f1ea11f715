/* The exit settings that search tries. */
#ifndef RUBATO_SEARCH_EXIT_GRID_H
#define RUBATO_SEARCH_EXIT_GRID_H

#include "model/exits.h"

enum { MOST_EXIT_SETTINGS = 128 };

/* Settings of the rule that a model's exits were trained for, from late to early leaving, over the range where the
 * published ones lie. out [MOST_EXIT_SETTINGS]; returns how many. */
size_t exit_grid(const exits *from, exit_setting *out);

/* Everything leaving after one exit, each in turn: a shallower model with its own classifier, the baseline. */
size_t exit_grid_fixed(const exits *from, exit_setting *out);

#endif
