/* Ctrl-C and SIGTERM, for commands that keep what they have when they are stopped. */
#ifndef RUBATO_CLI_INTERRUPT_H
#define RUBATO_CLI_INTERRUPT_H

#include <stdbool.h>

/* From now on the first signal is noted. The second one ends the program. */
void interrupt_watch(void);

bool interrupted(void);

#endif
