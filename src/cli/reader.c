/* Input, line by line: texts or JSON objects, checked to be UTF-8. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "cli/command.h"

enum { CHUNK_LINES = 4096, CHUNK_BYTES = 8 << 20 };

struct reader {
    FILE *stream;
    const char *path;
    bool jsonl, failed;
    record_kind kind;
    char *line;
    size_t capacity, number;
    record records[CHUNK_LINES];
    size_t count;
};

static void release_record(record *r) {
    free(r->text);
    free(r->pair);
    for (size_t j = 0; j < r->document_count; j++) free(r->documents[j]);
    free(r->documents);
}

static void release_records(reader *self) {
    for (size_t i = 0; i < self->count; i++) release_record(&self->records[i]);
    self->count = 0;
}

int reader_open(reader **out, const char *path, bool jsonl, record_kind kind) {
    *out = NULL;
    bool standard = !path || strcmp(path, "-") == 0;
    FILE *stream = standard ? stdin : fopen(path, "rb");
    if (!stream) {
        fprintf(stderr, "rubato: %s: %s\n", path, strerror(errno));
        return EXIT_FAILED;
    }
    reader *self = calloc(1, sizeof *self);
    if (!self) {
        if (!standard) fclose(stream);
        return report_text("out of memory");
    }
    self->stream = stream;
    self->path = standard ? "standard input" : path;
    self->jsonl = jsonl;
    self->kind = kind;
    *out = self;
    return EXIT_OK;
}

void reader_close(reader *self) {
    if (!self) return;
    release_records(self);
    free(self->line);
    if (self->stream != stdin) fclose(self->stream);
    free(self);
}

bool reader_failed(const reader *self) {
    return self && self->failed;
}

static const char *file_of(const reader *self) {
    return self->stream == stdin ? NULL : self->path;
}

static void refuse(reader *self, const char *why) {
    print_place(file_of(self), self->number);
    fprintf(stderr, "%s\n", why);
    self->failed = true;
}

/* A copy of a JSON string; NULL with *why set when there is none. */
static char *take_string(const json_t *object, const char *key, size_t *bytes, const char **why) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value)) {
        *why = key;
        return NULL;
    }
    *bytes = json_string_length(value);
    char *copy = malloc(*bytes + 1);
    if (copy) memcpy(copy, json_string_value(value), *bytes + 1);
    if (!copy) *why = "memory";
    return copy;
}

static void take_documents(record *out, const json_t *object, const char **why) {
    const json_t *list = json_object_get(object, "documents");
    size_t count = json_array_size(list);
    *why = "documents";
    if (!json_is_array(list) || !(out->documents = calloc(count + 1, sizeof *out->documents))) return;
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        const char *text = json_string_value(json_is_object(item) ? json_object_get(item, "text") : item);
        if (!text || !(out->documents[i] = strdup(text))) return;
        out->document_count++;
    }
    *why = NULL;
}

static bool parse_object(reader *self, record *out, const char *line, size_t length) {
    json_error_t where;
    json_t *object = json_loadb(line, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
    if (!json_is_object(object)) {
        char message[256];
        snprintf(message, sizeof message, object ? "not a JSON object" : "not valid JSON at column %d: %s",
                 where.column, where.text);
        refuse(self, message);
        json_decref(object);
        return false;
    }
    const char *why = NULL;
    if (self->kind == RECORD_QUESTION) {
        out->text = take_string(object, "question", &out->text_bytes, &why);
        if (out->text) out->pair = take_string(object, "context", &out->pair_bytes, &why);
    } else if (self->kind == RECORD_DOCUMENTS) {
        out->text = take_string(object, "query", &out->text_bytes, &why);
        if (out->text) take_documents(out, object, &why);
    } else {
        out->text = take_string(object, "text", &out->text_bytes, &why);
        if (out->text && json_object_get(object, "pair"))
            out->pair = take_string(object, "pair", &out->pair_bytes, &why);
    }
    json_decref(object);
    if (!why) return true;
    char message[128];
    snprintf(message, sizeof message, "\"%s\" is missing or of the wrong type", why);
    refuse(self, message);
    return false;
}

int reader_next(reader *self, record **records, size_t *count) {
    release_records(self);
    size_t bytes = 0;
    while (self->count < CHUNK_LINES && bytes < CHUNK_BYTES) {
        ssize_t got = getline(&self->line, &self->capacity, self->stream);
        if (got < 0) break;
        size_t length = (size_t)got;
        self->number++;
        if (length && self->line[length - 1] == '\n') length--;
        if (length && self->line[length - 1] == '\r') length--;
        self->line[length] = 0;
        bytes += length;
        size_t bad = utf8_check(self->line, length);
        if (bad < length) {
            char message[80];
            snprintf(message, sizeof message, "not valid UTF-8 at byte %zu (0x%02x)", bad,
                     (unsigned char)self->line[bad]);
            refuse(self, message);
            continue;
        }
        record *r = &self->records[self->count++];
        *r = (record){.file = file_of(self), .line = self->number};
        if (self->jsonl) {
            if (!parse_object(self, r, self->line, length)) {
                release_record(r);
                self->count--;
            }
        } else {
            r->text = malloc(length + 1);
            if (!r->text) return report_text("out of memory");
            memcpy(r->text, self->line, length + 1);
            r->text_bytes = length;
        }
    }
    if (ferror(self->stream)) {
        fprintf(stderr, "rubato: %s: %s\n", self->path, strerror(errno));
        return EXIT_FAILED;
    }
    *records = self->records;
    *count = self->count;
    return EXIT_OK;
}
