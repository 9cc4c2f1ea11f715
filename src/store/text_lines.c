#define _DEFAULT_SOURCE
#include "store/text_lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/gzip.h"
#include "base/utf8.h"

enum { BLOCK = 1 << 20, LONGEST = 64 << 20 };

rubato_status text_lines_open(text_lines *self, const char *const *paths, size_t count, rubato_error *error) {
    *self = (text_lines){.paths = paths, .path_count = count};
    if (count == 0) return fail(error, RUBATO_BAD_ARGUMENT, "no text file was given");
    for (size_t i = 0; i < count; i++) {
        struct stat about;
        TRY(file_check_regular(paths[i], error));
        if (stat(paths[i], &about) == 0) self->all += (double)about.st_size;
    }
    return RUBATO_OK;
}

static void close_file(text_lines *self) {
    struct stat about;
    if (self->stream) {
        if (fstat(self->raw, &about) == 0) self->before += (double)about.st_size;
        fclose(self->stream);
    }
    self->stream = NULL;
}

void text_lines_close(text_lines *self) {
    close_file(self);
    free(self->buffer);
    self->buffer = NULL;
}

static rubato_status open_file(text_lines *self, rubato_error *error) {
    const char *path = self->paths[self->path];
    bool packed = gzip_named(path);
    self->stream = packed ? gzip_open(path, &self->raw) : fopen(path, "rb");
    if (!self->stream && errno == ENOMEM) return fail_memory(error);
    if (!self->stream && errno == ENOMEM) return fail_memory(error);
    if (!self->stream) return fail(error, RUBATO_IO, "%s: %s", path, packed ? gzip_error(errno) : strerror(errno));
    if (!packed) self->raw = fileno(self->stream);
    self->over = false;
    self->begin = self->end = self->searched = self->line = 0;
    return RUBATO_OK;
}

/* Reads another block behind what the buffer holds. */
static rubato_status read_block(text_lines *self, rubato_error *error) {
    const char *path = self->paths[self->path];
    if (self->begin) {
        memmove(self->buffer, self->buffer + self->begin, self->end - self->begin);
        self->end -= self->begin;
        self->searched -= self->begin;
        self->begin = 0;
    }
    if (self->end > LONGEST)
        return fail(error, RUBATO_BAD_DATA, "%s: line %zu: more than %d MiB", path, self->line + 1, LONGEST >> 20);
    if (self->capacity - self->end < BLOCK) {
        size_t capacity = 2 * (self->end + BLOCK);
        char *buffer = realloc(self->buffer, capacity);
        if (!buffer) return fail_memory(error);
        self->buffer = buffer;
        self->capacity = capacity;
    }
    size_t got = fread(self->buffer + self->end, 1, BLOCK, self->stream);
    if (got < BLOCK && ferror(self->stream))
        return fail(error, RUBATO_IO, "%s: %s", path, gzip_named(path) ? gzip_error(errno) : strerror(errno));
    self->end += got;
    self->over = got == 0;
    return RUBATO_OK;
}

static rubato_status take_line(text_lines *self, size_t size, const char **line, size_t *bytes, rubato_error *error) {
    const char *text = self->buffer + self->begin, *path = self->paths[self->path];
    self->line++;
    self->begin += size;
    self->searched = self->begin;
    if (size && text[size - 1] == '\n') size--;
    if (size && text[size - 1] == '\r') size--;
    size_t valid = utf8_check(text, size);
    if (valid < size)
        return fail(error, RUBATO_BAD_DATA, "%s: line %zu: byte %zu is not UTF-8", path, self->line, valid + 1);
    if (memchr(text, 0, size)) return fail(error, RUBATO_BAD_DATA, "%s: line %zu: a NUL", path, self->line);
    *line = text;
    *bytes = size;
    return RUBATO_OK;
}

rubato_status text_lines_next(text_lines *self, const char **line, size_t *bytes, rubato_error *error) {
    *line = NULL;
    *bytes = 0;
    while (self->path < self->path_count) {
        if (!self->stream) TRY(open_file(self, error));
        char *found =
            self->end > self->searched ? memchr(self->buffer + self->searched, '\n', self->end - self->searched) : NULL;
        if (found) return take_line(self, (size_t)(found + 1 - self->buffer) - self->begin, line, bytes, error);
        self->searched = self->end;
        if (!self->over) {
            TRY(read_block(self, error));
            continue;
        }
        if (self->end > self->begin) return take_line(self, self->end - self->begin, line, bytes, error);
        close_file(self);
        self->path++;
    }
    return RUBATO_OK;
}

double text_lines_share(const text_lines *self) {
    if (self->all <= 0) return 0;
    off_t at = self->stream ? lseek(self->raw, 0, SEEK_CUR) : 0;
    double share = (self->before + (at > 0 ? (double)at : 0)) / self->all;
    return share < 1 ? share : 1;
}
