/* The signals of the server's process: SIGTERM and SIGINT ask it to stop, SIGHUP asks it to load its models again. A
 * thread of its own waits for them, so that a request to stop is seen at any moment, also while models are loaded. */
#ifndef RUBATO_SERVE_SIGNALS_H
#define RUBATO_SERVE_SIGNALS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"

typedef struct signals {
    atomic_uint stops;  /* how often a stop was asked for */
    atomic_bool reload; /* a reload is asked for; who does it takes this back */
    struct receiver *receiver;
} signals;

/* Blocks the signals for this thread and those that it starts, and waits for them. Nothing is changed on failure. */
rubato_status signals_start(signals *self, rubato_error *error);

/* Ends the waiting; the signals are again as they were before. Does nothing where signals_start failed. */
void signals_end(signals *self);

/* Waits for the next signal, at most that long. */
void signals_wait(signals *self, double most_ms);

#endif
