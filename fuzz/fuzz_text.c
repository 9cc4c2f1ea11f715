/* Input: any bytes as a text. It is refused as invalid UTF-8, or the offsets of its tokens are within the text and each
 * token ends at or after its start. In short segments it has the same tokens. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static tokenizer *t;
    rubato_error error;
    if (!t && tokenizer_load(&t, GOLDEN "/bert", &error) != RUBATO_OK) abort();
    tokenizer_scratch scratch = {0};
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = 0;
    rubato_input input = {.text = text, .text_bytes = size ? size : RUBATO_EMPTY};
    rubato_text_options options = {.size = sizeof options, .whole = 1};
    rubato_encoding *encoding;
    if (tokenizer_encode(t, &input, &options, &scratch, &encoding, &error) == RUBATO_OK) {
        size_t count = utf8_count(text, size);
        const rubato_window *window = &encoding->windows[0];
        for (size_t i = 0; i < window->length; i++)
            if (window->offsets[i][0] > window->offsets[i][1] || window->offsets[i][1] > count) abort();
        rubato_encoding *cut;
        size_t usual = t->segment_bytes;
        t->segment_bytes = 3;
        if (tokenizer_encode(t, &input, &options, &scratch, &cut, &error) != RUBATO_OK) abort();
        t->segment_bytes = usual;
        const rubato_window *same = &cut->windows[0];
        if (same->length != window->length || memcmp(same->ids, window->ids, window->length * sizeof *same->ids) != 0 ||
            memcmp(same->offsets, window->offsets, window->length * sizeof *same->offsets) != 0)
            abort();
        rubato_encoding_destroy(cut);
        rubato_encoding_destroy(encoding);
    }
    free(text);
    tokenizer_scratch_free(&scratch);
    return 0;
}
