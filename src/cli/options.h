/* The options that commands take: the library's tables and the program's own. */
#ifndef RUBATO_CLI_OPTIONS_H
#define RUBATO_CLI_OPTIONS_H

#include "cli/command.h"

enum { MOST_OPTIONS = 96 };

/* An option, and the position of its group's struct in `arguments`. */
typedef struct placed_option {
    const rubato_option *option;
    size_t offset;
} placed_option;

/* The options of a command, in its order; returns their number. */
size_t options_of(const command *which, placed_option out[static MOST_OPTIONS]);

/* Whether some command has an option of that name, in the spelling of the command line. */
bool options_know(const char *name, size_t bytes);

/* Whether an option has that name: "warm-up" is warm_up, and "no-depth" is a switch that is off (*off). */
bool option_is(const rubato_option *option, const char *name, size_t bytes, bool *off);

/* The spelling of an option: "--warm-up". */
void option_spell(const rubato_option *option, char *out, size_t bytes);

/* The spelling with its value, "--warm-up X", or of a switch, "--depth, --no-depth". */
void option_usage(const rubato_option *option, char *out, size_t bytes);

/* The help of an option in one line, with its allowed words, its default and its environment variable. */
void option_describe(const rubato_option *option, char *out, size_t bytes);

/* The environment variable that is used where the command line does not give the option; NULL: none. */
const char *option_variable(const rubato_option *option);

#endif
