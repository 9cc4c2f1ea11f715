/* Where the models stand that come with Rubato. */
#ifndef RUBATO_STORE_SHIPPED_H
#define RUBATO_STORE_SHIPPED_H

#include <stdbool.h>
#include <stddef.h>

enum { SHIPPED_PLACES = 5 };

/* The folder that a shipped model of that name would have in a place (from 0): models/ of the working folder, the data
 * folder of the installation that the running program or library belongs to, the source folder, the data folder of the
 * build. False where the place is not known, or the path is too long. */
bool shipped_folder(char *out, size_t bytes, size_t place, const char *name);

#endif
