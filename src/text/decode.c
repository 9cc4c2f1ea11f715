/* From token ids back to text, as the decoders of the `tokenizers` library do it for each kind of model. */
#include <string.h>

#include "base/utf8.h"
#include "text/tokenizer.h"

/* The byte that a character of the byte-level alphabet stands for, -1 for other characters. */
static int byte_of(uint32_t code) {
    for (int b = 0; b < 256; b++)
        if (byte_level_code((unsigned char)b) == code) return b;
    return -1;
}

/* Whether a token has the mark of the end of a word. */
static bool ends_word(const tokenizer *self, int32_t id) {
    size_t size = self->token_bytes[id], mark = self->model.suffix_bytes;
    return mark > 0 && mark <= size && memcmp(self->tokens[id] + size - mark, self->model.suffix, mark) == 0;
}

void tokenizer_add_plain(const tokenizer *self, int32_t id, text_buffer *out) {
    const char *name = self->tokens[id];
    size_t size = name ? self->token_bytes[id] : 0;
    if (self->model.kind == MODEL_WORDPIECE || self->model.suffix) {
        text_add(out, name ? name : "", name && ends_word(self, id) ? size - self->model.suffix_bytes : size);
        return;
    }
    for (size_t i = 0; i < size;) {
        uint32_t code;
        size_t length = utf8_next((const unsigned char *)name + i, &code);
        int byte = self->model.kind == MODEL_BPE ? byte_of(code) : -1;
        if (byte >= 0)
            text_add(out, (char[]){(char)byte}, 1);
        else if (code == 0x2581 && self->model.kind == MODEL_UNIGRAM)
            text_add(out, " ", 1);
        else
            text_add(out, name + i, length);
        i += length;
    }
}

/* Whether the original text has no space before a token that begins in this way. */
static bool joins_left(const char *name) {
    static const char *const all[] = {".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strncmp(name, all[i], strlen(all[i])) == 0) return true;
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

rubato_status tokenizer_decode(const tokenizer *self, const int32_t *ids, size_t count, bool skip_special,
                               text_buffer *out, rubato_error *error) {
    bool first = true, marked = self->model.kind == MODEL_WORDPIECE, ended = false;
    for (size_t i = 0; i < count; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= self->vocabulary)
            return fail(error, RUBATO_BAD_ARGUMENT, "token id %d is not in the vocabulary", ids[i]);
        if (!self->tokens[ids[i]] || (skip_special && is_special(self, ids[i]))) continue;
        const char *name = self->tokens[ids[i]];
        if (marked && !first && strncmp(name, "##", 2) == 0)
            text_add_string(out, name + 2);
        else {
            if (ended || (marked && !first && !joins_left(name))) text_add(out, " ", 1);
            tokenizer_add_plain(self, ids[i], out);
        }
        first = false;
        ended = ends_word(self, ids[i]);
    }
    if (self->model.kind == MODEL_UNIGRAM && out->length && out->data[0] == ' ')
        memmove(out->data, out->data + 1, --out->length);
    if (self->cleans_spaces && self->model.kind != MODEL_BPE) clean_spaces(out);
    if (out->length && utf8_check(out->data, out->length) != out->length) make_valid(out);
    text_add(out, "", 0);
    return out->failed ? fail_memory(error) : RUBATO_OK;
}
