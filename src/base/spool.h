/* Bytes that grow in a file without a name and are then read through a mapping. The system writes them to the disk and
 * drops them from memory as it needs to, and nothing of them is left when the process ends. */
#ifndef RUBATO_BASE_SPOOL_H
#define RUBATO_BASE_SPOOL_H

#include "base/file.h"

/* All zero: closed. */
typedef struct spool {
    FILE *stream;
    size_t size; /* bytes so far */
} spool;

/* Makes the file in a folder. Fails: IO, OUT_OF_MEMORY. */
rubato_status spool_open(spool *self, const char *folder, rubato_error *error);

/* Adds bytes. Fails: IO. */
rubato_status spool_add(spool *self, const void *bytes, size_t size, rubato_error *error);

/* Maps the bytes, which file_unmap releases, and closes the spool. Fails: IO, OUT_OF_MEMORY. */
rubato_status spool_map(spool *self, mapped_file *out, rubato_error *error);

void spool_close(spool *self);

#endif
