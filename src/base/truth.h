/* Truth values that a user writes. */
#ifndef RUBATO_BASE_TRUTH_H
#define RUBATO_BASE_TRUTH_H

#include <stdbool.h>

#define TRUTH_WORDS "true, false, yes, no, on, off, 1 or 0"

/* Reads one of these words, in any case. False: it is none of them, and *out is unchanged. */
bool truth_read(bool *out, const char *text);

#endif
