/* The Hugging Face hub: where a model's name leads on this machine, and downloads into its cache. */
#ifndef RUBATO_STORE_HUB_H
#define RUBATO_STORE_HUB_H

#include "base/error.h"

/* The folder of a model: a folder as it is; models/NAME of the working directory or of the installation; a snapshot
 * in the cache for "org/name". Fails: NOT_FOUND, with what was looked for and what to do. */
rubato_status hub_resolve(char *folder, size_t bytes, const char *name, rubato_error *error);

#endif
