/* Tokens of overlapping windows. */
#include "task/text_tokens.h"

#include <stdlib.h>

#include "base/checked.h"

size_t text_tokens_of_window(const rubato_encoding *encoding, size_t number, text_token *out) {
    const rubato_window *window = &encoding->windows[number];
    size_t count = 0;
    for (size_t i = 0; i < window->length; i++) {
        if (window->sequences[i] != 0) continue;
        out[count++] = (text_token){
            .at = {.start = window->offsets[i][0], .end = window->offsets[i][1], .id = window->ids[i], .index = i},
            .word = window->words[i],
            .window = number,
            .row = i,
            .depth = size_min(i, window->length - 1 - i)};
    }
    return count;
}

static bool same_place(const text_token *a, const text_token *b) {
    return a->at.start == b->at.start && a->at.end == b->at.end;
}

static int compare(size_t a, size_t b) {
    return (a > b) - (a < b);
}

static int by_place(const void *a, const void *b) {
    const text_token *x = a, *y = b;
    int order = compare(x->at.start, y->at.start);
    if (order == 0) order = compare(x->at.end, y->at.end);
    if (order == 0) order = compare(x->window, y->window);
    return order ? order : compare(x->row, y->row);
}

size_t text_tokens_list(const rubato_encoding *encoding, text_token *out) {
    size_t count = 0, kept = 0;
    for (size_t w = 0; w < encoding->count; w++) count += text_tokens_of_window(encoding, w, out + count);
    if (encoding->count < 2 || count == 0) return count;
    const size_t before = out[0].at.index; /* special tokens */
    qsort(out, count, sizeof *out, by_place);
    /* tokens of one place are those of one character in several windows, or its bytes in one of them */
    for (size_t first = 0, end; first < count; first = end) {
        size_t best = first;
        for (end = first; end < count && same_place(&out[first], &out[end]); end++)
            if (out[end].depth > out[best].depth) best = end;
        const size_t window = out[best].window;
        for (size_t i = first; i < end; i++)
            if (out[i].window == window) out[kept++] = out[i];
    }
    for (size_t i = 0; i < kept; i++) out[i].at.index = before + i;
    return kept;
}
