/* Errors: a status and a message of fixed size, filled in place. Reporting an error allocates nothing. Functions that
 * can fail return rubato_status and take a rubato_error * last, which may be NULL. */
#ifndef RUBATO_BASE_ERROR_H
#define RUBATO_BASE_ERROR_H

#include "rubato.h"

#if defined(__GNUC__)
#define PRINTF_LIKE(at, first) __attribute__((__format__(__printf__, at, first)))
#else
#define PRINTF_LIKE(at, first)
#endif

/* Passes a failure on to the caller. For functions with nothing to release. */
#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        rubato_status try_status_ = (call);                                                                            \
        if (try_status_ != RUBATO_OK) return try_status_;                                                              \
    } while (0)

/* Passes a failure on through the function's only exit label `done`, with its local variable `status`. */
#define TRY_DONE(call)                                                                                                 \
    do {                                                                                                               \
        status = (call);                                                                                               \
        if (status != RUBATO_OK) goto done;                                                                            \
    } while (0)

/* Fills *error (when not NULL) and returns `code`. */
rubato_status fail(rubato_error *error, rubato_status code, const char *format, ...) PRINTF_LIKE(3, 4);

/* As fail, with a line of the input (1-based). */
rubato_status fail_line(rubato_error *error, rubato_status code, size_t line, const char *format, ...)
    PRINTF_LIKE(4, 5);

rubato_status fail_memory(rubato_error *error);

/* Puts "prefix: " before the message: the file or position that only the caller knows. */
rubato_status fail_within(rubato_error *error, rubato_status code, const char *prefix);

#endif
