/* The Hugging Face hub: the folder that a model's name stands for on this machine, and downloads into its cache. */
#ifndef RUBATO_STORE_HUB_H
#define RUBATO_STORE_HUB_H

#include "base/error.h"

/* The folder of a model: the name itself where it is a folder; models/NAME of the working directory or of the
 * installation; for "org/name" a snapshot in the cache. Fails: NOT_FOUND, with the places that were tried and the
 * command that helps. */
rubato_status hub_resolve(char *folder, size_t bytes, const char *name, rubato_error *error);

#endif
