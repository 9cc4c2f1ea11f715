/* The machine that Rubato runs on. */
#ifndef RUBATO_TASK_MACHINE_H
#define RUBATO_TASK_MACHINE_H

#include <stddef.h>

#include "rubato.h"

/* What the machine calls its processor; "unknown" where it does not say. Fails: OUT_OF_MEMORY. */
rubato_status machine_processor(char *out, size_t bytes, rubato_error *error);

#endif
