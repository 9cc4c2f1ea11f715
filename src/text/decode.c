/* From token ids back to text, as the decoders of the `tokenizers` library do it for each kind of model. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/tokenizer.h"

/* The byte that a character of the byte-level alphabet stands for, -1 for other characters. */
static int byte_of(uint32_t code) {
    for (int b = 0; b < 256; b++)
        if (byte_level_code((unsigned char)b) == code) return b;
    return -1;
}

/* A token in the byte-level alphabet; a token with any other character stays as it is. */
static void add_bytes(const char *name, size_t size, text_buffer *out) {
    char *bytes = malloc(size + 1);
    size_t count = 0;
    bool all = true;
    if (!bytes) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < size && all;) {
        uint32_t code;
        i += utf8_next((const unsigned char *)name + i, &code);
        int byte = byte_of(code);
        all = byte >= 0;
        bytes[count++] = (char)byte;
    }
    text_add(out, all ? bytes : name, all ? count : size);
    free(bytes);
}

/* A Unigram token: its marks of white space become spaces; the first token of a text loses them. */
static void add_unmarked(const char *name, size_t size, bool first, text_buffer *out) {
    for (size_t i = 0; i < size;) {
        uint32_t code;
        size_t length = utf8_next((const unsigned char *)name + i, &code);
        if (code != 0x2581)
            text_add(out, name + i, length);
        else if (!first)
            text_add(out, " ", 1);
        i += length;
    }
}

static void add_plain(const tokenizer *self, const char *name, size_t size, bool first, text_buffer *out) {
    if (self->model.kind == MODEL_BPE && !self->model.suffix)
        add_bytes(name, size, out);
    else if (self->model.kind == MODEL_UNIGRAM)
        add_unmarked(name, size, first, out);
    else
        text_add(out, name, size);
}

/* Replaces the mark of the end of a word, where the text ends with one. */
static void replace_mark(const tokenizer *self, const char *by, text_buffer *out) {
    size_t size = self->model.suffix_bytes;
    if (size == 0 || out->length < size) return;
    if (memcmp(out->data + out->length - size, self->model.suffix, size) != 0) return;
    out->length -= size;
    text_add_string(out, by);
}

void tokenizer_add_plain(const tokenizer *self, int32_t id, text_buffer *out) {
    const char *name = self->tokens[id];
    if (!name) return;
    add_plain(self, name, self->token_bytes[id], false, out);
    replace_mark(self, "", out);
}

/* Whether the original text has no space before a token that begins in this way. */
static bool joins_left(const char *name, size_t size) {
    static const char *const all[] = {".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (size >= strlen(all[i]) && memcmp(name, all[i], strlen(all[i])) == 0) return true;
    return false;
}

static bool is_special(const tokenizer *self, int32_t id) {
    for (size_t i = 0; i < self->added_count; i++)
        if (self->added[i].id == id) return self->added[i].special;
    return false;
}

/* Replaces bytes that are not valid UTF-8 by U+FFFD. */
static void make_valid(text_buffer *text) {
    text_buffer out = {0};
    for (size_t at = 0; at < text->length;) {
        size_t good = utf8_check(text->data + at, text->length - at);
        text_add(&out, text->data + at, good);
        at += good;
        if (at == text->length) break;
        text_add(&out, "\xef\xbf\xbd", 3);
        for (at++; at < text->length && ((unsigned char)text->data[at] & 0xc0) == 0x80; at++) {
        }
    }
    text_free(text);
    *text = out;
}

/* clean_up_tokenization_spaces: removes blanks before marks, one mark after the other. */
static void clean_spaces(text_buffer *text) {
    static const char *const marks[] = {" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"};
    for (size_t m = 0; m < sizeof marks / sizeof *marks; m++) {
        size_t length = strlen(marks[m]), out = 0;
        size_t left = marks[m][length - 1] == ' ' ? length - 2 : length - 1; /* of the mark without its blanks */
        for (size_t i = 0; i < text->length;) {
            bool here = text->length - i >= length && memcmp(text->data + i, marks[m], length) == 0;
            if (here) memmove(text->data + out, marks[m] + 1, left);
            if (!here) text->data[out] = text->data[i];
            out += here ? left : 1;
            i += here ? length : 1;
        }
        text->length = out;
    }
}

void tokenizer_join(const tokenizer *self, const char *name, size_t size, bool first, text_buffer *out) {
    if (!first) replace_mark(self, " ", out); /* the mark of the last token stays until then */
    if (self->model.kind == MODEL_WORDPIECE && !first) {
        if (size >= 2 && memcmp(name, "##", 2) == 0) {
            name += 2;
            size -= 2;
        } else if (!joins_left(name, size)) {
            text_add(out, " ", 1);
        }
    }
    add_plain(self, name, size, first, out);
}

void tokenizer_join_end(const tokenizer *self, text_buffer *out) {
    replace_mark(self, "", out);
    if (out->length && utf8_check(out->data, out->length) != out->length) make_valid(out);
    text_add(out, "", 0);
}

rubato_status tokenizer_decode(const tokenizer *self, const int32_t *ids, size_t count, bool skip_special,
                               text_buffer *out, rubato_error *error) {
    bool first = true;
    for (size_t i = 0; i < count; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= self->vocabulary)
            return fail(error, RUBATO_BAD_ARGUMENT, "token id %d is not in the vocabulary", ids[i]);
        if (!self->tokens[ids[i]] || (skip_special && is_special(self, ids[i]))) continue;
        tokenizer_join(self, self->tokens[ids[i]], self->token_bytes[ids[i]], first, out);
        first = false;
    }
    if (self->model.kind == MODEL_UNIGRAM && out->length && out->data[0] == ' ')
        memmove(out->data, out->data + 1, --out->length);
    if (self->cleans_spaces && self->model.kind != MODEL_BPE) clean_spaces(out);
    tokenizer_join_end(self, out);
    return out->failed ? fail_memory(error) : RUBATO_OK;
}
