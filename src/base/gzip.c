/* Compressed files, by zlib. */
#define _GNU_SOURCE
#include "base/gzip.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <zlib.h>

#include "base/text_buffer.h"

enum { PIECE = 1 << 16, ANY_GZIP = 16 + MAX_WBITS };

bool gzip_named(const char *path) {
    size_t length = strlen(path);
    return length >= 3 && strcasecmp(path + length - 3, ".gz") == 0;
}

bool gzip_name_ends(const char *path, const char *ending) {
    size_t length = strlen(path) - (gzip_named(path) ? strlen(".gz") : 0), size = strlen(ending);
    return length >= size && strncasecmp(path + length - size, ending, size) == 0;
}

/* A file of one or more members, each with its check sum. zlib's own reader passes over what stands behind them. */
typedef struct unpacking {
    int descriptor;
    z_stream z;
    bool inside; /* a member */
    unsigned char piece[PIECE];
} unpacking;

/* Reads more of the file where all of it was used. False: errno. */
static bool fill(unpacking *self) {
    if (self->z.avail_in > 0) return true;
    ssize_t got;
    do got = read(self->descriptor, self->piece, PIECE);
    while (got < 0 && errno == EINTR);
    self->z.next_in = self->piece;
    self->z.avail_in = got > 0 ? (uInt)got : 0;
    return got >= 0;
}

static ssize_t fail_reading(int reason) {
    errno = reason;
    return -1;
}

static ssize_t read_piece(void *file, char *out, size_t bytes) {
    unpacking *self = file;
    z_stream *z = &self->z;
    uInt most = bytes < PIECE ? (uInt)bytes : PIECE;
    z->next_out = (unsigned char *)out;
    z->avail_out = most;
    while (z->avail_out == most) {
        if (!fill(self)) return -1;
        while (!self->inside && z->avail_in > 0 && *z->next_in == 0) { /* tapes are filled up with zeros */
            z->next_in++;
            z->avail_in--;
        }
        if (z->avail_in == 0) {
            if (self->inside) return fail_reading(EILSEQ); /* the end of a file that was cut is no end */
            if (z->next_in == self->piece) return 0;
            continue;
        }
        if (!self->inside) inflateReset(z);
        int code = inflate(z, Z_NO_FLUSH);
        if (code != Z_OK && code != Z_STREAM_END) return fail_reading(code == Z_MEM_ERROR ? ENOMEM : EILSEQ);
        self->inside = code == Z_OK;
    }
    return (ssize_t)(most - z->avail_out);
}

static int close_file(void *file) {
    unpacking *self = file;
    inflateEnd(&self->z);
    int status = close(self->descriptor);
    free(self);
    return status;
}

FILE *gzip_open(const char *path, int *raw) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return NULL;
    unpacking *self = calloc(1, sizeof *self);
    if (!self || inflateInit2(&self->z, ANY_GZIP) != Z_OK) {
        free(self);
        close(descriptor);
        errno = ENOMEM;
        return NULL;
    }
    self->descriptor = descriptor;
    FILE *stream = NULL;
    if (fill(self)) {
        errno = EILSEQ; /* no compressed file begins otherwise */
        if (self->z.avail_in > 0 && self->piece[0] == 0x1f) {
            stream = fopencookie(self, "r", (cookie_io_functions_t){.read = read_piece, .close = close_file});
            errno = ENOMEM;
        }
    }
    if (!stream) {
        int reason = errno;
        close_file(self);
        errno = reason;
    }
    if (raw) *raw = descriptor;
    return stream;
}

const char *gzip_error(int reason) {
    return reason == EILSEQ ? "damaged or cut, or not compressed by gzip" : strerror(reason);
}

rubato_status gzip_read(char **data, size_t *size, const char *path, size_t limit, rubato_error *error) {
    char piece[4096];
    text_buffer all = {0};
    *data = NULL;
    FILE *stream = gzip_open(path, NULL);
    if (!stream)
        return errno == ENOMEM
                   ? fail_memory(error)
                   : fail(error, errno == ENOENT ? RUBATO_NOT_FOUND : RUBATO_IO, "%s: %s", path, gzip_error(errno));
    size_t got;
    text_add(&all, "", 0);
    while (!all.failed && all.length <= limit && (got = fread(piece, 1, sizeof piece, stream)) > 0)
        text_add(&all, piece, got);
    int bad = ferror(stream) ? errno : 0;
    fclose(stream);
    rubato_status status = RUBATO_OK;
    if (all.failed || bad == ENOMEM)
        status = fail_memory(error);
    else if (bad)
        status = fail(error, RUBATO_IO, "%s: %s", path, gzip_error(bad));
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
