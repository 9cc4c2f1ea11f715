#include "text/sentences.h"

#include <stdbool.h>

#include "base/utf8.h"

static bool is_space(uint32_t c) {
    return c == ' ' || c == '\t' || c == 0xa0 || c == 0x3000;
}

static bool closes(uint32_t c) {
    return c == '"' || c == '\'' || c == ')' || c == ']' || c == 0x2019 || c == 0x201d || c == 0xbb || c == 0x300d ||
           c == 0x300f || c == 0xff09;
}

static bool is_wide_mark(uint32_t c) {
    return c == 0x3002 || c == 0xff01 || c == 0xff1f;
}

static bool is_mark(uint32_t c) {
    return c == '.' || c == '!' || c == '?' || c == 0x2026 || is_wide_mark(c);
}

static bool is_letter(uint32_t c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

size_t sentence_end(const char *text, size_t bytes, size_t from) {
    const unsigned char *s = (const unsigned char *)text;
    uint32_t c, last = 0, before_last = 0;
    for (size_t at = from; at < bytes;) {
        at += utf8_next(s + at, &c);
        /* the full stop of an initial */
        bool initial = c == '.' && last >= 'A' && last <= 'Z' && !is_letter(before_last);
        before_last = last;
        last = c;
        if (!is_mark(c) || initial) continue;
        bool wide = is_wide_mark(c), space = false;
        size_t end = at, step;
        while (end < bytes && (step = utf8_next(s + end, &c), is_mark(c) || closes(c))) {
            wide = wide || is_wide_mark(c);
            end += step;
        }
        while (end < bytes && (step = utf8_next(s + end, &c), is_space(c))) {
            space = true;
            end += step;
        }
        if (end == bytes) return bytes;
        if (wide || (space && !(c >= 'a' && c <= 'z'))) return end;
    }
    return bytes;
}
