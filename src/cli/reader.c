/* Input: texts line by line, JSON objects, or records of a table, checked to be UTF-8. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/columns.h"
#include "base/gzip.h"
#include "base/json.h"
#include "base/table.h"
#include "base/text_buffer.h"
#include "base/utf8.h"
#include "cli/command.h"

enum { CHUNK_BYTES = 8 << 20, MOST_BYTES = 1 << 30 };

typedef enum form { FORM_LINES, FORM_OBJECTS, FORM_TABLE, FORM_WHOLE } form;

struct reader {
    FILE *stream;
    const char *path;
    form form;
    bool csv, by_number; /* of a table; by_number: --columns counts columns, there is no header */
    record_kind kind;
    char wanted[2][COLUMN_NAME]; /* the columns of --columns for the first and second text; "" for none */
    char *line;                  /* the next line */
    size_t capacity, number, rows;
    text_buffer record;         /* of a table, whose fields borrow from it; or the whole file */
    char *names[TABLE_COLUMNS]; /* of a table's header */
    bool again[TABLE_COLUMNS];  /* an earlier column has the same name */
    size_t name_count, column[2];
    record records[CHUNK_LINES];
    size_t count;
    int failure;        /* errno of a reading that failed; 0: none did */
    int raw;            /* the descriptor whose position tells the progress; -1: unknown */
    double total_bytes; /* 0: unknown */
};

/* ---- Names of columns ---- */

static const char *const question[] = {"question", "context"};
static const char *const documents[] = {"query", "documents"};

/* Asks an object or a header for a name. */
typedef struct asked {
    const json_t *object; /* NULL: the header */
    const reader *of;
} asked;

static column_names header_of(const reader *self) {
    return (column_names){self->names, self->name_count};
}

static bool has_name(const void *user, const char *name) {
    const asked *by = user;
    const column_names header = header_of(by->of);
    return by->object ? json_object_get(by->object, name) != NULL : columns_find(&header, name) != SIZE_MAX;
}

/* The names of the texts in an object or a header (NULL): those of --columns, else the usual ones. *why: what is wrong.
 */
static void choose_names(const reader *self, const json_t *object, const char *names[2], char *why, size_t bytes) {
    const asked by = {object, self};
    const char *clash;
    why[0] = 0;
    if (self->wanted[0][0]) {
        names[0] = self->wanted[0];
        names[1] = self->wanted[1][0] ? self->wanted[1] : self->kind == RECORD_DOCUMENTS ? documents[1] : NULL;
    } else if (self->kind == RECORD_QUESTION || self->kind == RECORD_DOCUMENTS) {
        memcpy(names, self->kind == RECORD_QUESTION ? question : documents, sizeof question);
    } else if (self->kind == RECORD_DOCUMENT) {
        names[1] = NULL;
        if (!columns_single(has_name, &by, &names[0], &clash))
            snprintf(why, bytes, "a document is one text: \"%.60s\" or \"%.60s\"; --columns text=NAME says which",
                     names[0], clash);
    } else if (!columns_choose(has_name, &by, names, &clash)) {
        snprintf(why, bytes,
                 "\"%.60s\" and \"%.60s\" are not known to go together; --columns text=NAME,pair=NAME says it",
                 names[0] ? names[0] : "text", clash);
    }
}

static int parse_columns(reader *self, const char *columns) {
    static const char *const roles[] = {"text", "pair"};
    if (!columns_parse(columns, roles, 2, self->wanted))
        return report_usage("--columns %.80s: write text=NAME or text=NAME,pair=NAME", columns);
    if (columns && !self->wanted[0][0]) return report_usage("--columns %.80s: text=NAME is needed", columns);
    self->by_number = columns_is_number(self->wanted[0]);
    return EXIT_OK;
}

/* ---- Opening ---- */

static void take_form(reader *self, bool jsonl) {
    self->csv = gzip_name_ends(self->path, ".csv");
    bool two = self->kind == RECORD_QUESTION || self->kind == RECORD_DOCUMENTS; /* which a plain line cannot hold */
    if (jsonl || gzip_name_ends(self->path, ".jsonl") || gzip_name_ends(self->path, ".ndjson"))
        self->form = FORM_OBJECTS;
    else if (self->csv || gzip_name_ends(self->path, ".tsv"))
        self->form = FORM_TABLE;
    else if (two)
        self->form = FORM_OBJECTS;
}

/* --whole-file makes one text of any file. */
static int take_whole(reader *self, const arguments *given) {
    if (self->kind == RECORD_QUESTION || self->kind == RECORD_DOCUMENTS)
        return report_usage("%s: --whole-file reads one text; this command needs two in a row", self->path);
    if (given->jsonl || given->columns)
        return report_usage("%s: --whole-file has neither objects nor columns", self->path);
    self->form = FORM_WHOLE;
    return EXIT_OK;
}

/* The size of what is read, for the progress. */
static void take_size(reader *self) {
    struct stat of;
    if (self->raw < 0) self->raw = fileno(self->stream);
    if (fstat(self->raw, &of) == 0 && S_ISREG(of.st_mode)) self->total_bytes = (double)of.st_size;
}

static int read_header(reader *self);

int reader_open(reader **out, const arguments *given, record_kind kind) {
    const char *path = given->file;
    bool standard = !path || strcmp(path, "-") == 0;
    int raw = -1;
    *out = NULL;
    FILE *stream = standard ? stdin : gzip_named(path) ? gzip_open(path, &raw) : fopen(path, "rb");
    if (!stream) {
        fprintf(stderr, "rubato: %s: %s\n", path, gzip_error(errno));
        return EXIT_FAILED;
    }
    reader *self = calloc(1, sizeof *self);
    if (!self) {
        if (!standard) fclose(stream);
        return report_text("out of memory");
    }
    *out = self;
    self->stream = stream;
    self->path = standard ? "standard input" : path;
    self->kind = kind;
    self->raw = raw;
    take_form(self, given->jsonl);
    take_size(self);
    if (given->whole_file) return take_whole(self, given);
    int status = parse_columns(self, given->columns);
    if (status != EXIT_OK) return status;
    if (self->form == FORM_LINES && gzip_name_ends(self->path, ".json"))
        return report_usage("%s: JSON is read from .jsonl files, with an object in each line", self->path);
    if (self->form == FORM_LINES && given->columns)
        return report_usage("%s: --columns is for .csv, .tsv and .jsonl", self->path);
    if (self->form == FORM_TABLE && kind == RECORD_DOCUMENTS)
        return report_usage("%s: the rows of a table are documents, which need --query TEXT; queries with their "
                            "documents are read from .jsonl",
                            self->path);
    return self->form == FORM_TABLE ? read_header(self) : EXIT_OK;
}

static void release_record(record *r) {
    free(r->text);
    free(r->pair);
    free(r->kept);
    free(r->why);
    for (size_t j = 0; j < r->document_count; j++) free(r->documents[j]);
    free(r->documents);
    *r = (record){0};
}

void reader_close(reader *self) {
    if (!self) return;
    for (size_t i = 0; i < self->count; i++) release_record(&self->records[i]);
    for (size_t i = 0; i < self->name_count; i++) free(self->names[i]);
    free(self->line);
    text_free(&self->record);
    if (self->stream != stdin) fclose(self->stream);
    free(self);
}

double reader_share(const reader *self) {
    off_t at = self->total_bytes > 0 ? lseek(self->raw, 0, SEEK_CUR) : -1;
    return at > 0 ? (double)at / self->total_bytes : 0;
}

/* ---- Records ---- */

/* Notes why a record cannot be used. */
static void refuse(record *r, const char *format, ...) PRINTF_LIKE(2, 3);
static void refuse(record *r, const char *format, ...) {
    va_list values;
    if (r->why) return;
    va_start(values, format);
    if (vasprintf(&r->why, format, values) < 0) r->why = NULL;
    va_end(values);
}

/* Members that answers have. */
static bool is_answer(record_kind kind, const char *name) {
    static const char *const names[] = {
        "label", "labels", "score", "scores", "value",   "embedding", "entities", "tokens",    "answer", "start",
        "end",   "cost",   "error", "line",   "ids",     "offsets",   "types",    "cut",       "index",  "overflow",
        "words", "layers", "fills", "text",   "results", "masks",     "passages", "generated", "ms"};
    if (kind == RECORD_DOCUMENTS && strcmp(name, "query") == 0) return true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

/* The name under which a member is kept: "input_" stands before it as often as it takes until neither an answer nor
 * another member has that name. `own`: it is the member's name in the object or header. */
static json_t *kept_name(const asked *by, const char *name, bool own) {
    json_t *key = json_string(name);
    while (key && (own ? is_answer(by->of->kind, name) : has_name(by, json_string_value(key)))) {
        json_t *longer = json_sprintf("input_%s", json_string_value(key));
        json_decref(key);
        key = longer;
        own = false;
    }
    return key;
}

/* Adds a member to the text `"id": 7, ` of what is kept. Takes over both. */
static void keep(text_buffer *out, json_t *key, json_t *value) {
    char *quoted = key ? json_dumps(key, JSON_ENCODE_ANY) : NULL;
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17)) : NULL;
    if (!quoted || !text) out->failed = true;
    if (quoted && text) text_add_format(out, "%s: %s, ", quoted, text);
    free(quoted);
    free(text);
    json_decref(key);
    json_decref(value);
}

static void take_kept(record *r, text_buffer *kept) {
    if (kept->failed) {
        text_free(kept);
        refuse(r, "out of memory");
        return;
    }
    r->kept = kept->data;
}

/* ---- JSON objects ---- */

static char *take_string(record *r, const json_t *object, const char *key, size_t *bytes) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value)) {
        refuse(r, "\"%s\" is %s", key, value ? "no text" : "missing; --columns text=NAME names another key");
        return NULL;
    }
    *bytes = json_string_length(value);
    char *copy = text_copy(json_string_value(value), *bytes);
    if (!copy) refuse(r, "out of memory");
    return copy;
}

static void take_documents(record *r, const json_t *object, const char *key) {
    const json_t *list = json_object_get(object, key);
    size_t count = json_array_size(list);
    if (!list || count == 0)
        refuse(r, "\"%s\" is %s", key, !list ? "missing" : json_is_array(list) ? "an empty list" : "no list");
    if (count == 0) return;
    r->documents = calloc(count + 1, sizeof *r->documents);
    for (size_t i = 0; r->documents && i < count; i++) {
        const json_t *item = json_array_get(list, i);
        const char *text = json_string_value(json_is_object(item) ? json_object_get(item, "text") : item);
        if (!text) refuse(r, "\"%s\": number %zu is no text", key, i + 1);
        if (!text || !(r->documents[i] = strdup(text))) break;
        r->document_count++;
    }
    if (r->document_count < count) refuse(r, "out of memory");
}

static void parse_object(const reader *self, record *r, const char *line, size_t length) {
    json_error_t where;
    const char *keys[2] = {"text", NULL}, *key;
    char clash[256];
    json_t *object = json_loadb(line, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where), *value;
    if (!json_is_object(object)) {
        if (object)
            refuse(r, "not a JSON object");
        else
            refuse(r, "not valid JSON at column %d: %s", where.column, where.text);
        json_decref(object);
        return;
    }
    text_buffer kept = {0};
    choose_names(self, object, keys, clash, sizeof clash);
    if (clash[0]) refuse(r, "%s", clash);
    if (!keys[0]) keys[0] = "text";
    r->text = take_string(r, object, keys[0], &r->text_bytes);
    if (self->kind == RECORD_DOCUMENTS)
        take_documents(r, object, keys[1]);
    else if (keys[1] && (self->kind == RECORD_QUESTION || json_object_get(object, keys[1])))
        r->pair = take_string(r, object, keys[1], &r->pair_bytes);
    json_object_foreach(object, key, value) if (strcmp(key, keys[0]) != 0 && !(keys[1] && strcmp(key, keys[1]) == 0))
        keep(&kept, kept_name(&(asked){object, self}, key, true), json_incref(value));
    take_kept(r, &kept);
    json_decref(object);
}

/* ---- Lines and tables ---- */

/* The next line into self->line; -1 at the end. */
static ssize_t next_line(reader *self) {
    ssize_t got = getline(&self->line, &self->capacity, self->stream);
    if (!self->failure && (ferror(self->stream) || (got < 0 && !feof(self->stream)))) self->failure = errno;
    if (got < 0 || self->failure) return -1; /* half a line is none */
    size_t length = (size_t)got;
    /* the mark of some editors at the beginning of a file is no part of it */
    if (self->number++ == 0 && strncmp(self->line, "\xef\xbb\xbf", 3) == 0)
        memmove(self->line, self->line + 3, (length -= 3) + 1);
    if (length && self->line[length - 1] == '\n') length--;
    if (length && self->line[length - 1] == '\r') length--;
    self->line[length] = 0;
    return (ssize_t)length;
}

/* The next record of a table into self->record: of a .csv the lines up to an even number of quotes. *size is -1 at the
 * end. False: memory is short. */
static bool next_record(reader *self, ssize_t *size) {
    text_buffer *all = &self->record;
    size_t quotes = 0;
    *size = -1;
    text_clear(all);
    do {
        ssize_t got = next_line(self);
        if (got < 0) break;
        if (*size >= 0) text_add(all, "\n", 1);
        text_add(all, self->line, (size_t)got);
        if (all->failed) {
            text_free(all);
            return false;
        }
        for (ssize_t i = 0; self->csv && i < got; i++) quotes += self->line[i] == '"';
        *size = (ssize_t)all->length;
    } while (quotes % 2 && all->length < CHUNK_BYTES);
    return true;
}

/* All of the file into self->record, once. False: memory is short, or the file is too long. */
static bool next_whole(reader *self, ssize_t *size) {
    text_buffer *all = &self->record;
    char bytes[1 << 16];
    *size = -1;
    if (self->number++) return true;
    for (size_t got; (got = fread(bytes, 1, sizeof bytes, self->stream)) > 0;) {
        text_add(all, bytes, got);
        if (all->failed || all->length > MOST_BYTES) return false;
    }
    if (ferror(self->stream)) self->failure = errno;
    if (self->failure || all->length == 0) return true;
    const size_t mark = strncmp(all->data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    memmove(all->data, all->data + mark, (all->length -= mark) + 1);
    *size = (ssize_t)all->length;
    return true;
}

static int find_columns(reader *self) {
    const char *names[2] = {NULL, NULL};
    char clash[256] = "";
    const column_names header = header_of(self);
    if (!self->by_number) choose_names(self, NULL, names, clash, sizeof clash);
    if (clash[0]) return report_usage("the header's columns: %s", clash);
    for (size_t i = 0; i < 2; i++) {
        self->column[i] = SIZE_MAX;
        if (self->by_number && self->wanted[i][0]) self->column[i] = strtoul(self->wanted[i], NULL, 10) - 1;
        if (names[i]) self->column[i] = columns_find(&header, names[i]);
        if (names[i] && self->column[i] == SIZE_MAX && (self->wanted[0][0] || i == 0))
            return report_usage("%s: the header has no column for the text; --columns text=NAME names one, --columns "
                                "text=1 counts them in a file without a header",
                                self->path);
        if (names[i] && self->column[i] != SIZE_MAX && columns_doubled(&header, self->column[i]))
            return report_usage("the header has two columns \"%s\"; --columns text=NUMBER counts them", names[i]);
    }
    if (self->column[0] == SIZE_MAX)
        return report_usage("%s: no column of its header is known to hold the text; --columns text=NAME names one, "
                            "--columns text=1 counts them in a file without a header",
                            self->path);
    if (self->kind == RECORD_QUESTION && self->column[1] == SIZE_MAX)
        return report_usage("%s: columns \"question\" and \"context\" are needed", self->path);
    return EXIT_OK;
}

static int read_header(reader *self) {
    char *fields[TABLE_COLUMNS];
    ssize_t size;
    size_t count, lines;
    if (self->by_number) return find_columns(self);
    if (!next_record(self, &size)) return report_text("out of memory");
    if (size < 0) return report_usage("%s: empty; a table begins with a header", self->path);
    if (utf8_check(self->record.data, (size_t)size) < (size_t)size)
        return report_usage("%s: its header is not valid UTF-8", self->path);
    table_cut(self->record.data, self->record.data + size, self->csv, fields, &count, &lines);
    for (size_t i = 0; count != SIZE_MAX && i < count; i++) {
        const column_names header = header_of(self);
        self->again[i] = columns_find(&header, fields[i]) != SIZE_MAX;
        if (!(self->names[i] = strdup(fields[i]))) return report_text("out of memory");
        self->name_count++;
    }
    return find_columns(self);
}

static void parse_record(const reader *self, record *r, size_t size) {
    char *fields[TABLE_COLUMNS], number[32];
    size_t count, lines;
    text_buffer kept = {0};
    table_cut(self->record.data, self->record.data + size, self->csv, fields, &count, &lines);
    if (count == SIZE_MAX) {
        refuse(r, "more than %d fields, or a quote that does not end", TABLE_COLUMNS);
        return;
    }
    if (self->name_count && count != self->name_count)
        refuse(r, "%zu fields, and the header has %zu", count, self->name_count);
    for (size_t i = 0; i < 2; i++) {
        if (self->column[i] == SIZE_MAX) continue;
        const char *field = self->column[i] < count ? fields[self->column[i]] : NULL;
        char *copy = field ? text_copy(field, strlen(field)) : NULL;
        if (!copy) refuse(r, field ? "out of memory" : "column %zu is missing", self->column[i] + 1);
        *(i ? &r->pair : &r->text) = copy;
        *(i ? &r->pair_bytes : &r->text_bytes) = copy ? strlen(copy) : 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (i == self->column[0] || i == self->column[1]) continue;
        bool named = i < self->name_count && !self->again[i];
        snprintf(number, sizeof number, "column%zu", i + 1);
        keep(&kept, kept_name(&(asked){NULL, self}, named ? self->names[i] : number, named), json_string(fields[i]));
    }
    take_kept(r, &kept);
}

/* One record more. False at the end. */
static bool take_record(reader *self, record *r, size_t *bytes) {
    ssize_t got;
    const char *line;
    do { /* a blank line is no row, but among plain lines it is an empty text */
        *r = (record){.file = self->stream == stdin ? NULL : self->path, .line = self->number + 1};
        if (self->form == FORM_LINES || self->form == FORM_OBJECTS)
            got = next_line(self);
        else if (self->form == FORM_TABLE && !next_record(self, &got))
            refuse(r, "out of memory");
        else if (self->form == FORM_WHOLE && !next_whole(self, &got))
            refuse(r, self->record.failed ? "out of memory" : "more than 1 GiB");
        if (got < 0) return r->why != NULL;
        line = self->form == FORM_TABLE || self->form == FORM_WHOLE ? self->record.data : self->line;
    } while ((self->form == FORM_OBJECTS || self->form == FORM_TABLE) && !r->why && !line[strspn(line, " \t\r\n")]);
    r->row = self->rows++;
    *bytes += (size_t)got;
    size_t length = (size_t)got, bad = utf8_check(line, length);
    if (bad < length)
        refuse(r, "not valid UTF-8 at byte %zu (0x%02x)", bad, (unsigned char)line[bad]);
    else if (self->form == FORM_OBJECTS)
        parse_object(self, r, line, length);
    else if (self->form == FORM_TABLE)
        parse_record(self, r, length);
    else if (!(r->text = text_copy(line, length)))
        refuse(r, "out of memory");
    else
        r->text_bytes = length;
    return true;
}

int reader_next(reader *self, size_t most, record **records, size_t *count) {
    size_t bytes = 0;
    for (size_t i = 0; i < self->count; i++) release_record(&self->records[i]);
    self->count = 0;
    while (self->count < most && bytes < CHUNK_BYTES && take_record(self, &self->records[self->count], &bytes))
        self->count++;
    *records = self->records;
    *count = self->count;
    if (!self->failure) return EXIT_OK;
    fprintf(stderr, "rubato: %s: %s\n", self->path, gzip_error(self->failure));
    return EXIT_FAILED;
}
