/* Options structs of callers, which may have been compiled with another version of the header. */
#ifndef RUBATO_BASE_OPTIONS_H
#define RUBATO_BASE_OPTIONS_H

#include "base/error.h"

/* Copies a caller's options struct, whose first member is its size, into one of this library's `size`. What the
 * caller's lacks is zero; NULL: all of it. `name` is the struct's, for messages. Fails: BAD_ARGUMENT for a size that
 * none can have, UNSUPPORTED where a part that the library does not know is set. */
rubato_status options_copy(void *out, size_t size, const void *given, const char *name, rubato_error *error);

#define OPTIONS_COPY(out, type, given, error) options_copy((out), sizeof(type), (given), #type, (error))

#endif
