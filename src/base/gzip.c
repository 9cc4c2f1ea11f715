/* Compressed files, by zlib. */
#define _GNU_SOURCE
#include "base/gzip.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/text_buffer.h"

enum { PIECE = 1 << 16 };

bool gzip_named(const char *path) {
    return text_ends_with(path, ".gz");
}

bool gzip_name_ends(const char *path, const char *ending) {
    size_t length = strlen(path) - (gzip_named(path) ? strlen(".gz") : 0), size = strlen(ending);
    return length >= size && memcmp(path + length - size, ending, size) == 0;
}

static ssize_t read_piece(void *file, char *out, size_t bytes) {
    int got = gzread(file, out, bytes < PIECE ? (unsigned)bytes : PIECE), code = Z_OK;
    if (got > 0) return got;
    /* the end of a file that was cut is no end */
    gzerror(file, &code);
    if (got == 0 && code == Z_OK) return 0;
    errno = EILSEQ;
    return -1;
}

static int close_file(void *file) {
    return gzclose(file) == Z_OK ? 0 : -1;
}

FILE *gzip_open(const char *path, int *raw) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return NULL;
    struct stat of;
    if (fstat(descriptor, &of) == 0 && S_ISDIR(of.st_mode)) {
        close(descriptor);
        errno = EISDIR;
        return NULL;
    }
    gzFile file = gzdopen(descriptor, "rb");
    if (!file) {
        close(descriptor);
        errno = ENOMEM;
        return NULL;
    }
    if (gzdirect(file)) { /* no compressed file begins like this */
        gzclose(file);
        errno = EILSEQ;
        return NULL;
    }
    FILE *stream = fopencookie(file, "r", (cookie_io_functions_t){.read = read_piece, .close = close_file});
    if (!stream) {
        gzclose(file);
        errno = ENOMEM;
    }
    if (raw) *raw = descriptor;
    return stream;
}

rubato_status gzip_read(char **data, size_t *size, const char *path, size_t limit, rubato_error *error) {
    char piece[4096];
    text_buffer all = {0};
    *data = NULL;
    FILE *stream = gzip_open(path, NULL);
    if (!stream)
        return errno == ENOMEM ? fail_memory(error)
                               : fail(error, errno == ENOENT ? RUBATO_NOT_FOUND : RUBATO_IO, "%s: %s", path,
                                      errno == EILSEQ ? "not compressed by gzip" : strerror(errno));
    size_t got;
    text_add(&all, "", 0);
    while (!all.failed && all.length <= limit && (got = fread(piece, 1, sizeof piece, stream)) > 0)
        text_add(&all, piece, got);
    bool bad = ferror(stream) != 0;
    fclose(stream);
    rubato_status status = RUBATO_OK;
    if (all.failed)
        status = fail_memory(error);
    else if (bad)
        status = fail(error, RUBATO_IO, "%s: damaged or cut, or not compressed by gzip", path);
    else if (all.length > limit)
        status = fail(error, RUBATO_IO, "%s: more than %zu bytes", path, limit);
    if (status != RUBATO_OK) {
        text_free(&all);
        return status;
    }
    *data = all.data;
    *size = all.length;
    return RUBATO_OK;
}
