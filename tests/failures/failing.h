/* Lets the n-th allocation of a function fail, for one n after the other, and looks at what the function then does.
 *
 * Allocations are those of this project and of jansson: malloc, calloc, realloc, aligned_alloc, and what the system
 * allocates by mmap, fopen, opendir and pthread_create. The linker puts the functions of failing.c in their places.
 *
 * A program takes the name of one of its tests as an argument; with FAILING_ALLOCATION=N in the environment it tries
 * that allocation alone. */
#ifndef RUBATO_TESTS_FAILURES_FAILING_H
#define RUBATO_TESTS_FAILURES_FAILING_H

#include <cmocka_compat.h>

#include "base/file.h"

/* What a call gave, as one number. The order of additions counts. */
typedef struct digest {
    uint64_t value;
} digest;

void digest_add(digest *self, const void *bytes, size_t size);
void digest_text(digest *self, const char *text); /* NULL is a text of its own */

typedef struct attempt {
    const char *name;
    /* Calls the function and releases what it gave; adds all that it gave to the digest when it succeeds. */
    rubato_status (*call)(void *user, digest *result, rubato_error *error);
    void *user;
    /* Makes the files that the call finds what they were before; NULL: there are none. */
    void (*prepare)(void *user);
    /* Looks at the files after a call; gives NULL or what is wrong. NULL: not looked at. */
    const char *(*look)(void *user, rubato_status status);
    size_t exhaustive; /* all allocations up to this one fail, each once */
} attempt;

/* Calls with each of these n: all up to `exhaustive`; of the rest the first of every stack of callers that no earlier
 * attempt of the program has tried (so that every way to an allocation is tried), the last 5, and a sample of 10. A
 * call must give RUBATO_OUT_OF_MEMORY, or succeed with the result of the undisturbed call; it must release all that it
 * allocated. What went wrong is listed, and failing_main fails then. */
void fail_allocations(const attempt *what);

/* A new empty folder, which failing_main removes. */
const char *failing_folder(void);

/* Files of a folder and of those within it. */
enum { MOST_FILES = 64 };
typedef struct folder_state {
    size_t count;
    struct {
        char name[160];
        uint64_t content;
    } files[MOST_FILES];
} folder_state;

void folder_read(folder_state *out, const char *folder);
void folder_clear(const char *folder); /* with all that is in it, if it is there */
void folder_copy(const char *from, const char *to);
void file_write(const char *folder, const char *name, const char *text);

/* Makes FOLDER of a golden checkpoint with the architecture named, which has another head. */
void make_model(const char *folder, const char *golden, const char *architecture, size_t labels);

/* Names the three labels of a model that was made as models of natural language inference do. */
void name_inference_labels(const char *folder);

/* All tests of a program: the first argument of the program may name one. */
int failing_main(int count, char **arguments, const struct CMUnitTest *tests, size_t test_count);

#endif
