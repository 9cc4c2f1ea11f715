/* Input: any bytes as tokenizer.json. It is refused, or gives a tokenizer that works on a few texts. */
#include <string.h>

#include "text/tokenizer_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const texts[] = {"", "Hello, World! [CLS] <mask>",
                                        "d\xc3\xa9j\xc3\xa0 \xed\x95\x9c\xea\xb8\x80 \xf0\x9f\x91\x8d"};
    tokenizer *t;
    rubato_error error;
    if (tokenizer_parse(&t, (const char *)data, size, "fuzz", NULL, NULL, NULL, &error) != RUBATO_OK) return 0;
    tokenizer_scratch scratch = {0};
    for (size_t i = 0; i < 3; i++) {
        rubato_input input = {.text = texts[i], .pair = texts[2 - i]};
        rubato_text_options options = {.size = sizeof options, .max_length = 12, .stride = 1, .windows = 1};
        rubato_encoding *encoding;
        if (tokenizer_encode(t, &input, &options, &scratch, &encoding, &error) == RUBATO_OK)
            rubato_encoding_destroy(encoding);
    }
    tokenizer_scratch_free(&scratch);
    tokenizer_destroy(t);
    return 0;
}
