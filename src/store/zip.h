/* Reading zip archives whose entries are stored as they are, as torch writes them: the list of entries at the end of
 * the file, in its 32-bit or 64-bit form. The bytes of an entry are found and not copied. Checksums are not computed.
 */
#ifndef RUBATO_STORE_ZIP_H
#define RUBATO_STORE_ZIP_H

#include <stdbool.h>

#include "base/error.h"

typedef struct zip_entry {
    const char *name; /* within the archive, without a NUL */
    size_t name_bytes;
    const unsigned char *data;
    size_t bytes;
    size_t begin; /* of its header in the file */
} zip_entry;

typedef struct zip_archive {
    zip_entry *entries; /* sorted by name */
    size_t count;
} zip_archive;

/* Whether the bytes begin as an archive does. */
bool zip_begins(const unsigned char *data, size_t size);

/* Reads the list. Entries lie within the file and do not overlap, and each has a name of its own; `name` is used in
 * messages. On failure nothing is held. Fails: BAD_MODEL, UNSUPPORTED, OUT_OF_MEMORY. */
rubato_status zip_open(zip_archive *archive, const unsigned char *data, size_t size, const char *name,
                       rubato_error *error);
void zip_close(zip_archive *archive);

/* The entry of that name, or NULL. */
const zip_entry *zip_find(const zip_archive *archive, const char *name, size_t name_bytes);

#endif
