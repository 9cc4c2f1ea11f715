/* Names under which tables and JSON objects usually have a text, or two texts. */
#ifndef RUBATO_BASE_COLUMNS_H
#define RUBATO_BASE_COLUMNS_H

#include <stdbool.h>

/* Finds the names of the first and the second text. `has` says whether a name is there. names[1] is NULL for a single
 * text; names[0] is NULL where no usual name is there. Returns false where a second text's name is there that does not
 * go with the first: *clash is that name. */
bool columns_choose(bool (*has)(const void *user, const char *name), const void *user, const char *names[2],
                    const char **clash);

#endif
