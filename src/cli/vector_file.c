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

enum { MOST_STATE = 1 << 20 }; /* bytes */

struct vector_file {
    char path[PATH_MAX], part[PATH_MAX + 8], state[PATH_MAX + 16];
    const char *made_by;
    bool index, complete; /* complete: the index was there, and is read only */
    mapped_file old;      /* of an index, the rows of an earlier command */
    FILE *stream;
    bool direct; /* a pipe or a device receives everything at the end */
    size_t columns, rows;
    size_t taken;   /* rows of the input so far */
    uint64_t input; /* their hash */
    size_t known;   /* rows of an earlier command, which had read `known_taken` rows of the input */
    size_t known_taken;
    uint64_t known_input; /* the hash that those must have again */
    bool unused;          /* PART is new, and no rows in it are kept yet */
};

static int fail_io(const char *path, const char *what) {
    fprintf(stderr, "rubato: %s: %s: %s\n", path, what, strerror(errno ? errno : EIO));
    return EXIT_FAILED;
}

/* ---- What an earlier command left ---- */

/* Reads a header that npy_header wrote. */
static bool read_header(const unsigned char *from, size_t *rows, size_t *columns) {
    unsigned char header[NPY_HEADER];
    char text[NPY_HEADER + 1] = "";
    memcpy(text, from, NPY_HEADER);
    if (sscanf(&text[NPY_BEFORE], NPY_DICT, rows, columns) != 2) return false;
    npy_header(header, *rows, *columns);
    return memcmp(header, from, NPY_HEADER) == 0;
}

/* Whether FILE.part is an interrupted command's: a header and rows, or nothing yet. Without a description there are no
 * finished rows, and the header counts none. */
static bool is_part(const char *path, bool described) {
    mapped_file file;
    size_t rows, columns;
    if (file_map(&file, path, NULL) != RUBATO_OK) return false;
    bool ours = file.size == 0 ||
                (file.size >= NPY_HEADER && read_header(file.data, &rows, &columns) && (described || rows == 0));
    file_unmap(&file);
    return ours;
}

/* Whether an object is what make_state makes. */
static bool is_state(const json_t *state) {
    return json_is_string(json_object_get(state, "made_by")) && json_is_string(json_object_get(state, "input")) &&
           json_is_integer(json_object_get(state, "rows")) && json_is_integer(json_object_get(state, "read")) &&
           json_is_integer(json_object_get(state, "columns"));
}

/* *left: an interrupted command left its rows. A file that has their name and is something else is not lost without
 * --overwrite. */
static int find_left(const vector_file *self, bool overwrite, bool *left) {
    bool part = path_exists(self->part), described = path_exists(self->state);
    json_t *state = NULL;
    *left = part && described;
    if (overwrite) return EXIT_OK;
    if (described) (void)json_read_file(&state, self->state, MOST_STATE, NULL);
    bool known = is_state(state);
    json_decref(state);
    const char *strange = described && !known ? self->state : part && !is_part(self->part, known) ? self->part : NULL;
    return strange ? report_usage("%s is there, and no interrupted command wrote it; --overwrite replaces it", strange)
                   : EXIT_OK;
}

/* Takes the description of rows, which `path` holds. */
static int take_state(vector_file *self, const json_t *state, const char *path) {
    const char *made_by = json_string_value(json_object_get(state, "made_by"));
    const char *hash = json_string_value(json_object_get(state, "input"));
    json_int_t rows = json_integer_value(json_object_get(state, "rows"));
    json_int_t taken = json_integer_value(json_object_get(state, "read"));
    json_int_t columns = json_integer_value(json_object_get(state, "columns"));
    if (!is_state(state) || rows < 0 || taken < rows || (self->index && taken != rows))
        return report_usage("%s: not written by this command; --overwrite starts again", path);
    if (strcmp(made_by, self->made_by) != 0 || columns != (json_int_t)self->columns)
        return report_usage("%s: its vectors are of another model or other options; --overwrite starts again", path);
    self->rows = self->known = (size_t)rows;
    self->known_taken = (size_t)taken;
    self->known_input = strtoull(hash, NULL, 16);
    return EXIT_OK;
}

static int read_state(vector_file *self) {
    json_t *state;
    rubato_error error;
    if (json_read_file(&state, self->state, MOST_STATE, &error) != RUBATO_OK) return report(&error);
    int status = take_state(self, state, self->part);
    json_decref(state);
    return status;
}

static int map_rows(vector_file *self, const char *path) {
    rubato_error error;
    return file_map(&self->old, path, &error) == RUBATO_OK ? EXIT_OK : report(&error);
}

/* Opens a finished index: header, rows, description. */
static int open_index(vector_file *self) {
    size_t rows = 0, columns = 0, end = 0;
    int status = map_rows(self, self->path);
    if (status != EXIT_OK) return status;
    json_t *state = NULL;
    size_t body = self->old.size > NPY_HEADER ? self->old.size - NPY_HEADER : 0;
    if (body && read_header(self->old.data, &rows, &columns) && columns > 0 && rows <= body / sizeof(float) / columns) {
        end = NPY_HEADER + rows * columns * sizeof(float);
        if (self->old.size - end < MOST_STATE)
            state = json_loadb((const char *)self->old.data + end, self->old.size - end, 0, NULL);
    }
    if (!state || json_integer_value(json_object_get(state, "rows")) != (json_int_t)rows ||
        json_integer_value(json_object_get(state, "columns")) != (json_int_t)columns)
        status = report_usage("%s: not an index, or a damaged one; --overwrite replaces it", self->path);
    else
        status = take_state(self, state, self->path);
    json_decref(state);
    self->complete = true;
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
    return self->index ? map_rows(self, self->part) : EXIT_OK;
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
    self->unused = !self->direct;
    npy_header(header, 0, self->columns);
    if (fwrite(header, 1, sizeof header, self->stream) != sizeof header) return fail_io(self->part, "cannot write");
    return EXIT_OK;
}

/* The vector of a fixed text stands for the model, its point and the kernels: their vectors differ in their last bits.
 */
int vector_file_describe(session *s, const arguments *given, char *out) {
    float *vector = calloc(s->info->width + 1, sizeof *vector);
    const rubato_input probe = {.text = "Which model, and at which point, made these vectors?"};
    rubato_error error = {0};
    if (!vector) return report_text("out of memory");
    int status =
        rubato_embed(s->context, vector, &probe, 1, &s->options, NULL, &error) == RUBATO_OK ? EXIT_OK : report(&error);
    const char *budget = s->options.budget, *prompt = s->options.prompt;
    int size = snprintf(
        out, MADE_BY, "vector %016llx, max_length %zu, left %d, special_as_text %d, budget %.60s, prompt %.200s",
        (unsigned long long)hash_bytes(0, vector, s->info->width * sizeof *vector), given->text.max_length,
        given->text.cut_left, given->text.special_as_text, budget ? budget : "full", prompt ? prompt : "");
    if (given->text.windows && size > 0 && size < MADE_BY)
        snprintf(out + size, MADE_BY - (size_t)size, ", windows that share %zu", given->text.stride);
    free(vector);
    return status;
}

/* Whether a regular file is `input`; NULL or "-" is standard input. */
static bool is_file(const char *path, const char *input) {
    struct stat of, from;
    bool named = input && strcmp(input, "-") != 0;
    return stat(path, &of) == 0 && S_ISREG(of.st_mode) &&
           (named ? stat(input, &from) : fstat(STDIN_FILENO, &from)) == 0 && from.st_dev == of.st_dev &&
           from.st_ino == of.st_ino;
}

/* Refuses to write a file that the command reads. */
static int refuse_inputs(const vector_file *self, const arguments *given, const char *path) {
    const char *const written[] = {path, self->part, self->state};
    for (size_t i = 0; i < sizeof written / sizeof *written; i++)
        if (is_file(written[i], given->file) || (given->queries && is_file(written[i], given->queries)))
            return report_usage("%s: the command reads this file; write the vectors to another one", written[i]);
    return EXIT_OK;
}

int vector_file_open(vector_file **out, const arguments *given, const char *path, size_t columns, const char *made_by,
                     bool index) {
    vector_file *self = calloc(1, sizeof *self);
    struct stat of;
    *out = self;
    if (!self) return report_text("out of memory");
    self->columns = columns;
    self->made_by = made_by;
    self->index = index;
    if (given->resume && given->overwrite)
        return report_usage("%s", "--resume continues rows, --overwrite replaces them; give one of them");
    bool there = stat(path, &of) == 0;
    self->direct = there && !S_ISREG(of.st_mode) && !S_ISDIR(of.st_mode);
    if (there && (S_ISDIR(of.st_mode) || (index && self->direct))) {
        errno = S_ISDIR(of.st_mode) ? EISDIR : EINVAL;
        return fail_io(path, "cannot write");
    }
    /* a symbolic link stays one: its target is replaced */
    if (strlen(path) >= PATH_MAX - 16) return report_usage("%.80s...: path too long", path);
    if (!there || self->direct || !realpath(path, self->path)) strcpy(self->path, path);
    snprintf(self->part, sizeof self->part, "%s.part", self->path);
    snprintf(self->state, sizeof self->state, "%s.json", self->part);
    if (self->direct) return begin_rows(self);
    bool left;
    int status = refuse_inputs(self, given, path);
    if (status != EXIT_OK) return status;
    if (there && index && !given->overwrite) return open_index(self);
    if ((status = find_left(self, given->overwrite, &left)) != EXIT_OK) return status;
    if (there && !left && !given->overwrite)
        return report_usage("%s is there already; --overwrite replaces it", self->path);
    if ((status = open_part(self)) != EXIT_OK) return status;
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

const float *vector_file_known_rows(const vector_file *self) {
    return (const float *)(const void *)(self->old.data + NPY_HEADER) + self->taken * self->columns;
}

bool vector_file_complete(const vector_file *self) {
    return self->complete;
}

/* The input is not the one of which the earlier rows are. */
static int refuse_input(const vector_file *self, const char *how) {
    fprintf(stderr, "rubato: %s: its vectors are of %s; --overwrite starts again\n",
            self->complete ? self->path : self->part, how);
    return EXIT_USAGE;
}

int vector_file_take(vector_file *self, const record *row) {
    self->input = hash_text(hash_text(self->input, row->text), row->pair);
    self->taken++;
    if (self->taken == self->known_taken && self->input != self->known_input) return refuse_input(self, "other texts");
    return self->complete && self->taken > self->known_taken ? refuse_input(self, "fewer texts than there are now")
                                                             : EXIT_OK;
}

int vector_file_add(vector_file *self, const float *rows, size_t count) {
    float nothing = NAN;
    for (size_t i = 0; !rows && i < self->columns; i++) fwrite(&nothing, sizeof nothing, 1, self->stream);
    if (rows) fwrite(rows, sizeof *rows, count * self->columns, self->stream);
    self->rows += count;
    return ferror(self->stream) ? fail_io(self->part, "cannot write") : EXIT_OK;
}

/* What take_state reads. */
static json_t *make_state(const vector_file *self) {
    char hash[24];
    hash_write(hash, self->input);
    return json_pack("{s:I, s:I, s:I, s:s, s:s}", "rows", (json_int_t)self->rows, "read", (json_int_t)self->taken,
                     "columns", (json_int_t)self->columns, "input", hash, "made_by", self->made_by);
}

int vector_file_keep(vector_file *self) {
    rubato_error error;
    if (self->direct || self->complete || self->taken < self->known_taken) return EXIT_OK;
    if (fflush(self->stream) != 0) return fail_io(self->part, "cannot write");
    json_t *state = make_state(self);
    if (!state) return report_text("out of memory");
    rubato_status status = json_write_file(state, self->state, JSON_INDENT(1), &error);
    json_decref(state);
    if (status == RUBATO_OK) self->unused = false;
    return status == RUBATO_OK ? EXIT_OK : report(&error);
}

int vector_file_refuse(vector_file *self, const arguments *given, const record *row) {
    bool known = vector_file_known(self) > 0;
    int status = vector_file_take(self, row);
    if (status == EXIT_OK && !known && given->on_error == ON_ERROR_ROW) status = vector_file_add(self, NULL, 1);
    return status == EXIT_OK ? vector_file_keep(self) : status;
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

/* Puts the description behind the rows. */
static int write_state(vector_file *self) {
    json_t *state = make_state(self);
    char *text = state ? json_dumps(state, 0) : NULL;
    int status = text ? EXIT_OK : report_text("out of memory");
    if (text && fprintf(self->stream, "%s\n", text) < 0) status = fail_io(self->part, "cannot write");
    free(text);
    json_decref(state);
    return status;
}

int vector_file_finish(vector_file *self, bool stopped) {
    unsigned char header[NPY_HEADER];
    if (stopped) {
        int kept = vector_file_keep(self);
        if (kept != EXIT_OK) return kept;
        fprintf(stderr, "rubato: stopped after %zu rows, which %s holds; the same command with --resume continues\n",
                self->rows, self->part);
        return EXIT_FAILED;
    }
    if (self->taken < self->known_taken) return refuse_input(self, "more texts than there are now");
    if (self->complete) return EXIT_OK;
    int status = self->index ? write_state(self) : EXIT_OK;
    if (status != EXIT_OK) return status;
    npy_header(header, self->rows, self->columns);
    if (fseeko(self->stream, 0, SEEK_SET) != 0 || fwrite(header, 1, sizeof header, self->stream) != sizeof header ||
        fflush(self->stream) != 0)
        return fail_io(self->part, "cannot write");
    if (self->direct) return copy_out(self);
    if (fsync(fileno(self->stream)) != 0 || rename(self->part, self->path) != 0)
        return fail_io(self->path, "cannot write");
    self->unused = false;
    unlink(self->state);
    return EXIT_OK;
}

void vector_file_close(vector_file *self) {
    if (!self) return;
    file_unmap(&self->old);
    if (self->unused) unlink(self->part);
    if (self->stream) fclose(self->stream);
    free(self);
}
