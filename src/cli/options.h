/* The options that commands take: the library's tables and the program's own. */
#ifndef RUBATO_CLI_OPTIONS_H
#define RUBATO_CLI_OPTIONS_H

#include "cli/command.h"

enum { MOST_OPTIONS = 96 };

/* An option and the place of its group's struct in `arguments`. */
typedef struct placed_option {
    const rubato_option *option;
    size_t offset;
} placed_option;

/* The options that a command takes, in its order; returns how many. */
size_t options_of(const command *which, placed_option out[static MOST_OPTIONS]);

/* Whether some command takes an option of that name, written as on the command line. */
bool options_know(const char *name, size_t bytes);

/* Whether an option is called that: "warm-up" is warm_up, and "no-depth" a switch that is off (*off). */
bool option_is(const rubato_option *option, const char *name, size_t bytes, bool *off);

/* An option as it is written: "--warm-up". */
void option_spell(const rubato_option *option, char *out, size_t bytes);

/* The same with its value, "--warm-up X", or as a switch, "--depth, --no-depth". */
void option_usage(const rubato_option *option, char *out, size_t bytes);

/* Its help in one line, with the words that it may be, the default and the environment's variable. */
void option_describe(const rubato_option *option, char *out, size_t bytes);

/* The environment's variable that gives the option where the command line does not; NULL: none. */
const char *option_variable(const rubato_option *option);

#endif
