/* Functions that write a folder: how it is afterwards. */
#ifndef RUBATO_TESTS_FAILURES_WRITING_H
#define RUBATO_TESTS_FAILURES_WRITING_H

#include "failures/failing.h"

typedef struct writing {
    const char *out; /* the folder that is written */
    const char *old; /* what it holds before; NULL: it is not there */
    const char *model, *data;
    bool piecewise; /* files change one by one, each of them whole: a failed run may have written a model */
    bool timed;     /* rubato.json has times */
    folder_state before, after;
    bool known;         /* after */
    folder_state whole; /* the last one whose model could be loaded */
    const char *recipe, *task, *teacher, *to, *precision, *tokenizer;
    bool resume;
    bool stop; /* training stops after its first step */
} writing;

/* Lets every allocation of such a function fail once. The folder is afterwards as it was before, or as the undisturbed
 * call leaves it, and nothing temporary stays. */
void fail_writing(writing *w, const char *name, rubato_status (*call)(void *user, digest *result, rubato_error *error),
                  size_t exhaustive);

/* Writes a file of data; gives its path. */
const char *write_data(const char *folder, const char *name, const char *text);

/* A folder with files of the names that a model has. */
const char *old_folder(void);

#endif
