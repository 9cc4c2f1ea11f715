#include "train/corpus.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/gzip.h"
#include "base/hash.h"
#include "base/spool.h"
#include "base/text_list.h"
#include "base/utf8.h"
#include "store/text_lines.h"
#include "text/sentences.h"

enum { TOKENS, SENTENCES, DOCUMENTS, EACH_LINES = 256 };

typedef struct corpus_reading {
    corpus *self;
    const tokenizer *text;
    const corpus_options *how;
    spool files[3];
    size_t documented; /* sentences of the documents that have ended */
    rubato_error *error;
} corpus_reading;

bool corpus_named(const char *paths) {
    size_t count = 0, texts = 0;
    char **each = text_list_split(paths, &count);
    for (size_t i = 0; each && i < count; i++) texts += gzip_name_ends(each[i], ".txt");
    free(each);
    return count > 0 && texts == count;
}

static rubato_status add_place(corpus_reading *r, int file, uint64_t place) {
    return spool_add(&r->files[file], &place, sizeof place, r->error);
}

static rubato_status end_document(corpus_reading *r) {
    corpus *self = r->self;
    if (self->sentence_count == r->documented) return RUBATO_OK;
    r->documented = self->sentence_count;
    self->document_count++;
    return add_place(r, DOCUMENTS, r->documented);
}

/* A sentence, in pieces of equal length where it is too long. */
static rubato_status add_sentence(corpus_reading *r, const token *tokens, size_t count) {
    corpus *self = r->self;
    size_t parts = divide_up(count, r->how->longest);
    for (size_t part = 0; part < parts; part++) {
        size_t first = count * part / parts, last = count * (part + 1) / parts;
        for (size_t i = first; i < last; i++) {
            if (tokens[i].id < 0 || (size_t)tokens[i].id >= r->how->vocabulary)
                return fail(r->error, RUBATO_BAD_MODEL, "the tokenizer's ids are beyond the model's word embeddings");
            self->hash = random_hash(self->hash ^ (uint64_t)tokens[i].id);
            TRY(spool_add(&r->files[TOKENS], &tokens[i].id, sizeof tokens[i].id, r->error));
        }
        self->tokens += last - first;
        self->sentence_count++;
        self->hash = random_hash(self->hash + self->tokens);
        TRY(add_place(r, SENTENCES, self->tokens));
    }
    return RUBATO_OK;
}

static rubato_status add_line(corpus_reading *r, const char *line, size_t bytes, tokenizer_scratch *scratch) {
    static const token_choice all = {.special_as_text = true, .most = SIZE_MAX};
    size_t blanks = 0;
    while (blanks < bytes && (line[blanks] == ' ' || line[blanks] == '\t')) blanks++;
    if (blanks == bytes) return end_document(r);
    TRY(tokenizer_run(r->text, line, bytes, &all, 0, scratch, r->error));
    const token_list *found = &scratch->tokens[0];
    size_t first = 0, points = 0;
    for (size_t at = 0; at < bytes && first < found->count;) {
        size_t end = sentence_end(line, bytes, at), last = first;
        points += utf8_count(line + at, end - at);
        /* a token that begins with the blank before a sentence belongs to that sentence */
        while (last < found->count && (end == bytes || found->items[last].last <= points)) last++;
        TRY(add_sentence(r, found->items + first, last - first));
        first = last;
        at = end;
    }
    return RUBATO_OK;
}

static rubato_status add_file(corpus_reading *r, text_lines *from, tokenizer_scratch *scratch) {
    for (size_t path = 0;;) {
        const char *line;
        size_t bytes;
        TRY(text_lines_next(from, &line, &bytes, r->error));
        if (!line || from->path != path) TRY(end_document(r));
        if (!line) return RUBATO_OK;
        path = from->path;
        TRY(add_line(r, line, bytes, scratch));
        if (r->self->lines++ % EACH_LINES == 0 && r->how->progress &&
            r->how->progress(r->how->user, text_lines_share(from)))
            return fail(r->error, RUBATO_CANCELLED, "stopped while the text was read");
    }
}

static rubato_status read_files(corpus_reading *r, char *const *paths, size_t count) {
    text_lines from;
    tokenizer_scratch scratch = {0};
    for (int i = 0; i < 3; i++) TRY(spool_open(&r->files[i], r->how->folder, r->error));
    TRY(add_place(r, SENTENCES, 0));
    TRY(add_place(r, DOCUMENTS, 0));
    rubato_status status = text_lines_open(&from, (const char *const *)paths, count, r->error);
    if (status == RUBATO_OK) status = add_file(r, &from, &scratch);
    text_lines_close(&from);
    tokenizer_scratch_free(&scratch);
    return status;
}

rubato_status corpus_read(corpus *self, const char *paths, const tokenizer *text, const corpus_options *how,
                          rubato_error *error) {
    *self = (corpus){0};
    corpus_reading r = {.self = self, .text = text, .how = how, .error = error};
    size_t count = 0;
    char **each = text_list_split(paths, &count);
    rubato_status status = each ? read_files(&r, each, count) : fail_memory(error);
    free(each);
    for (int i = 0; i < 3; i++) {
        if (status == RUBATO_OK) status = spool_map(&r.files[i], &self->files[i], error);
        spool_close(&r.files[i]);
    }
    TRY(status);
    if (self->tokens == 0) return fail(error, RUBATO_BAD_DATA, "%s: the text has no tokens", paths);
    self->ids = (const int32_t *)(const void *)self->files[TOKENS].data;
    self->sentences = (const uint64_t *)(const void *)self->files[SENTENCES].data;
    self->documents = (const uint64_t *)(const void *)self->files[DOCUMENTS].data;
    self->hash = random_hash(self->hash ^ self->document_count);
    return RUBATO_OK;
}

void corpus_close(corpus *self) {
    for (int i = 0; i < 3; i++) file_unmap(&self->files[i]);
    *self = (corpus){0};
}
