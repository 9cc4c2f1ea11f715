#define _DEFAULT_SOURCE
#include "base/spool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static rubato_status fail_writing(rubato_error *error) {
    return fail(error, RUBATO_IO, "a temporary file cannot be written: %s", strerror(errno));
}

rubato_status spool_open(spool *self, const char *folder, rubato_error *error) {
    char path[4200];
    *self = (spool){0};
    snprintf(path, sizeof path, "%s/spool.XXXXXX", folder);
    int descriptor = mkstemp(path);
    if (descriptor < 0) return fail(error, RUBATO_IO, "%s: no file can be made there: %s", folder, strerror(errno));
    unlink(path);
    self->stream = fdopen(descriptor, "w+b");
    if (self->stream) return RUBATO_OK;
    close(descriptor);
    return fail_memory(error);
}

rubato_status spool_add(spool *self, const void *bytes, size_t size, rubato_error *error) {
    if (size && fwrite(bytes, 1, size, self->stream) != size) return fail_writing(error);
    self->size += size;
    return RUBATO_OK;
}

rubato_status spool_map(spool *self, mapped_file *out, rubato_error *error) {
    *out = (mapped_file){0};
    if (fflush(self->stream) != 0) return fail_writing(error);
    if (self->size) {
        void *data = mmap(NULL, self->size, PROT_READ, MAP_SHARED, fileno(self->stream), 0);
        if (data == MAP_FAILED) return fail_memory(error);
        *out = (mapped_file){data, self->size};
    }
    spool_close(self);
    return RUBATO_OK;
}

void spool_close(spool *self) {
    if (self->stream) fclose(self->stream);
    self->stream = NULL;
}
