/* Ctrl-C and SIGTERM, for commands that keep what they have when they are stopped. */
#ifndef RUBATO_CLI_INTERRUPT_H
#define RUBATO_CLI_INTERRUPT_H

#include <stdbool.h>

/* From now on signals are noted. `second_ends`: the second one ends the program. */
void interrupt_watch(bool second_ends);

bool interrupted(void);

#endif
