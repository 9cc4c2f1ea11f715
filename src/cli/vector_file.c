/* A .npy file that grows. */
#define _DEFAULT_SOURCE
#include "cli/vector_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/npy.h"

struct vector_file {
    char path[PATH_MAX], part[PATH_MAX + 8], state[PATH_MAX + 16];
    const char *made_by;
    FILE *stream;
    bool direct; /* a pipe or a device receives everything at the end */
    size_t columns, rows;
    size_t taken;   /* rows of the input so far */
    uint64_t input; /* their hash */
    size_t known;   /* rows of an earlier command, which had read `known_taken` rows of the input */
    size_t known_taken;
    uint64_t known_input; /* the hash that those must have again */
};

static int fail_io(const char *path, const char *what) {
    fprintf(stderr, "rubato: %s: %s: %s\n", path, what, strerror(errno ? errno : EIO));
    return EXIT_FAILED;
}

/* ---- What an earlier command left ---- */

static int read_state(vector_file *self) {
    json_t *state;
    rubato_error error;
    if (json_read_file(&state, self->state, 1 << 20, &error) != RUBATO_OK) return report(&error);
    const char *made_by = json_string_value(json_object_get(state, "made_by"));
    const char *hash = json_string_value(json_object_get(state, "input"));
    json_int_t rows = json_integer_value(json_object_get(state, "rows"));
    json_int_t taken = json_integer_value(json_object_get(state, "read"));
    json_int_t columns = json_integer_value(json_object_get(state, "columns"));
    int status = EXIT_OK;
    if (!made_by || !hash || rows < 0 || taken < rows || columns != (json_int_t)self->columns)
        status = report_usage("%s: not the state of this command; --overwrite starts again", self->state);
    else if (strcmp(made_by, self->made_by) != 0)
        status =
            report_usage("%s: its rows are of another model or other options; --overwrite starts again", self->part);
    if (status == EXIT_OK) {
        self->known = (size_t)rows;
        self->known_taken = (size_t)taken;
        self->known_input = strtoull(hash, NULL, 16);
    }
    json_decref(state);
    return status;
}

/* Opens the rows that are there, and cuts off those that are not complete. */
static int continue_rows(vector_file *self) {
    struct stat of;
    int status = read_state(self);
    if (status != EXIT_OK) return status;
    off_t size = (off_t)(NPY_HEADER + self->known * self->columns * sizeof(float));
    if (fstat(fileno(self->stream), &of) != 0) return fail_io(self->part, "cannot be continued");
    if (of.st_size < size)
        return report_usage("%s: fewer rows than it should have; --overwrite starts again", self->part);
    if (ftruncate(fileno(self->stream), size) != 0 || fseeko(self->stream, size, SEEK_SET) != 0)
        return fail_io(self->part, "cannot be continued");
    self->rows = self->known;
    return EXIT_OK;
}

/* Opens FILE.part, which one process alone may write. Another one may have put it into its place meanwhile. */
static int open_part(vector_file *self) {
    struct stat mine, there;
    int descriptor = open(self->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0) return fail_io(self->part, "cannot write");
    bool free_of_others = flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    free_of_others =
        free_of_others && fstat(descriptor, &mine) == 0 && stat(self->part, &there) == 0 && mine.st_ino == there.st_ino;
    self->stream = free_of_others ? fdopen(descriptor, "r+b") : NULL;
    if (self->stream) return EXIT_OK;
    close(descriptor);
    if (free_of_others) return report_text("out of memory");
    return report_usage("%s: another rubato is writing this file; wait, or name another file", self->path);
}

static int begin_rows(vector_file *self) {
    unsigned char header[NPY_HEADER];
    if (self->direct && !(self->stream = tmpfile())) return fail_io(self->path, "cannot write");
    if (!self->direct && ftruncate(fileno(self->stream), 0) != 0) return fail_io(self->part, "cannot write");
    if (!self->direct) unlink(self->state);
    npy_header(header, 0, self->columns);
    if (fwrite(header, 1, sizeof header, self->stream) != sizeof header) return fail_io(self->part, "cannot write");
    return EXIT_OK;
}

int vector_file_open(vector_file **out, const arguments *given, size_t columns, const char *made_by) {
    vector_file *self = calloc(1, sizeof *self);
    struct stat of;
    *out = self;
    if (!self) return report_text("out of memory");
    self->columns = columns;
    self->made_by = made_by;
    if (given->resume && given->overwrite)
        return report_usage("%s", "--resume continues rows, --overwrite replaces them; give one of them");
    bool there = stat(given->output, &of) == 0;
    self->direct = there && !S_ISREG(of.st_mode) && !S_ISDIR(of.st_mode);
    if (there && S_ISDIR(of.st_mode)) {
        errno = EISDIR;
        return fail_io(given->output, "cannot write");
    }
    /* a symbolic link stays one: its target is replaced */
    if (strlen(given->output) >= PATH_MAX - 16) return report_usage("%.80s...: path too long", given->output);
    if (!there || self->direct || !realpath(given->output, self->path)) strcpy(self->path, given->output);
    snprintf(self->part, sizeof self->part, "%s.part", self->path);
    snprintf(self->state, sizeof self->state, "%s.json", self->part);
    if (self->direct) return begin_rows(self);
    bool left = path_exists(self->part) && path_exists(self->state);
    int status = open_part(self);
    if (status != EXIT_OK) return status;
    if (left && given->resume) return continue_rows(self);
    if (left && !given->overwrite)
        return report_usage(
            "%s holds rows of an interrupted command; --resume continues them, --overwrite replaces them", self->part);
    return begin_rows(self);
}

/* ---- Rows ---- */

size_t vector_file_known(const vector_file *self) {
    return self->known_taken > self->taken ? self->known_taken - self->taken : 0;
}

int vector_file_take(vector_file *self, const record *row) {
    self->input = hash_text(hash_text(self->input, row->text), row->pair);
    self->taken++;
    if (self->taken == self->known_taken && self->input != self->known_input)
        return report_usage("%s: its rows are of other texts; --overwrite starts again", self->part);
    return EXIT_OK;
}

int vector_file_add(vector_file *self, const float *rows, size_t count) {
    float nothing = NAN;
    for (size_t i = 0; !rows && i < self->columns; i++) fwrite(&nothing, sizeof nothing, 1, self->stream);
    if (rows) fwrite(rows, sizeof *rows, count * self->columns, self->stream);
    self->rows += count;
    return ferror(self->stream) ? fail_io(self->part, "cannot write") : EXIT_OK;
}

int vector_file_keep(vector_file *self) {
    char hash[24];
    rubato_error error;
    if (self->direct || self->taken < self->known_taken) return EXIT_OK;
    if (fflush(self->stream) != 0) return fail_io(self->part, "cannot write");
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)self->input);
    json_t *state =
        json_pack("{s:I, s:I, s:I, s:s, s:s}", "rows", (json_int_t)self->rows, "read", (json_int_t)self->taken,
                  "columns", (json_int_t)self->columns, "input", hash, "made_by", self->made_by);
    if (!state) return report_text("out of memory");
    rubato_status status = json_write_file(state, self->state, JSON_INDENT(1), &error);
    json_decref(state);
    return status == RUBATO_OK ? EXIT_OK : report(&error);
}

size_t vector_file_rows(const vector_file *self) {
    return self->rows;
}

static int copy_out(vector_file *self) {
    char piece[1 << 16];
    FILE *to = fopen(self->path, "wb");
    bool bad = !to;
    rewind(self->stream);
    for (size_t got; !bad && (got = fread(piece, 1, sizeof piece, self->stream)) > 0;)
        bad = fwrite(piece, 1, got, to) != got;
    bad = bad || fflush(to) != 0;
    int reason = errno;
    if (to) fclose(to);
    errno = reason;
    return bad ? fail_io(self->path, "cannot write") : EXIT_OK;
}

int vector_file_finish(vector_file *self) {
    unsigned char header[NPY_HEADER];
    if (self->taken < self->known_taken)
        return report_usage("%s: its rows are of more texts than there are now; --overwrite starts again", self->part);
    npy_header(header, self->rows, self->columns);
    if (fseeko(self->stream, 0, SEEK_SET) != 0 || fwrite(header, 1, sizeof header, self->stream) != sizeof header ||
        fflush(self->stream) != 0)
        return fail_io(self->part, "cannot write");
    if (self->direct) return copy_out(self);
    if (fsync(fileno(self->stream)) != 0 || rename(self->part, self->path) != 0)
        return fail_io(self->path, "cannot write");
    unlink(self->state);
    return EXIT_OK;
}

void vector_file_close(vector_file *self) {
    if (!self) return;
    if (self->stream) fclose(self->stream);
    free(self);
}
