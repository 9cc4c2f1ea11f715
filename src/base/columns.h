/* Names under which tables and JSON objects usually have a text, or two texts. */
#ifndef RUBATO_BASE_COLUMNS_H
#define RUBATO_BASE_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>

enum { COLUMN_NAME = 128 }; /* bytes of a name that the user gives */

/* Reads "text=NAME,pair=NAME": out[i] receives the name for roles[i], and stays as it is without one. list NULL: none.
 * Returns false for another form. */
bool columns_parse(const char *list, const char *const *roles, size_t count, char out[][COLUMN_NAME]);

/* Whether a name counts a column of a table without a header. */
bool columns_is_number(const char *name);

/* The names in a header. */
typedef struct column_names {
    char *const *names;
    size_t count;
} column_names;

/* The number of the first column of that name; SIZE_MAX: there is none. */
size_t columns_find(const column_names *of, const char *name);

/* Whether a later column has the same name. */
bool columns_doubled(const column_names *of, size_t column);

/* Finds the names of the first and the second text. `has` says whether a name is there. names[1] is NULL for a single
 * text; names[0] is NULL where no usual name is there. Returns false where a second text's name is there that does not
 * go with the first: *clash is that name. */
bool columns_choose(bool (*has)(const void *user, const char *name), const void *user, const char *names[2],
                    const char **clash);

/* Finds the name of a text that stands alone, as a document does; the other names are no texts then. NULL: no usual
 * name is there. Returns false where a second text's name is there that could be meant too: *clash is that name. */
bool columns_single(bool (*has)(const void *user, const char *name), const void *user, const char **name,
                    const char **clash);

/* The name of the first text that goes with a second one of that name: the usual one, else "text", else the only usual
 * name that is there. NULL: there is none, or it is not clear. */
const char *columns_first(bool (*has)(const void *user, const char *name), const void *user, const char *pair);

#endif
