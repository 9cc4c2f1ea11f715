/* The name that a user may have meant by a misspelled one. */
#ifndef RUBATO_CLI_NEAREST_NAME_H
#define RUBATO_CLI_NEAREST_NAME_H

#include <stddef.h>

enum { MOST_NAME = 64 };

typedef struct nearest_name {
    const char *word;     /* as it was written */
    char name[MOST_NAME]; /* the nearest so far; "" for none */
    size_t distance;      /* how many letters differ */
} nearest_name;

/* Compares the word with a name. Too different names are not kept. */
void nearest_name_try(nearest_name *self, const char *name);

#endif
