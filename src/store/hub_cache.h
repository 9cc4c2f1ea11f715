/* Names and folders of the Hugging Face cache:
 *   HUB/models--ORG--NAME/refs/REVISION             the commit
 *                        /blobs/ETAG                a file's content
 *                        /blobs/ETAG.incomplete     the part that was downloaded so far
 *                        /snapshots/COMMIT/FILE ->  the blob */
#ifndef RUBATO_STORE_HUB_CACHE_H
#define RUBATO_STORE_HUB_CACHE_H

#include <stdbool.h>

#include "base/error.h"

enum { HUB_PATH = 4096 };

/* The hub folder: HF_HUB_CACHE, or hub under HF_HOME, or ~/.cache/huggingface/hub. */
rubato_status hub_cache_folder(char *out, size_t bytes, rubato_error *error);

/* HUB/models--ORG--NAME. The name must be ORG/NAME (or NAME) of letters, digits, '-', '_' and '.'. */
rubato_status hub_repository_folder(char *out, size_t bytes, const char *name, rubato_error *error);

/* The snapshot to which refs/REVISION points; false when there is none. */
bool hub_snapshot(char *out, size_t bytes, const char *repository, const char *revision);

/* HF_TOKEN, or the saved token's first line; "" when there is none. */
void hub_token(char *out, size_t bytes);

/* Whether HF_HUB_OFFLINE is set to a true value. */
bool hub_offline(void);

#endif
