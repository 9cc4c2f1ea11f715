/* The machine that Rubato runs on. */
#ifndef RUBATO_TASK_MACHINE_H
#define RUBATO_TASK_MACHINE_H

#include <stddef.h>

/* What the machine calls its processor; "unknown" where it does not say. */
void machine_processor(char *out, size_t bytes);

#endif
