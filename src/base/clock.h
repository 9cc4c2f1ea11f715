/* Monotonic time. */
#ifndef RUBATO_BASE_CLOCK_H
#define RUBATO_BASE_CLOCK_H

/* Milliseconds since some fixed moment. */
double clock_ms(void);

#endif
