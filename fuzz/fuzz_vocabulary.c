/* Input: a letter that chooses the class, then the bytes of the files that the class had before tokenizer.json;
 * merges.txt follows vocab.json behind a NUL. They are refused, or give a tokenizer that works on a few texts. */
#include <string.h>

#include "text/tokenizer_convert.h"

static void try_texts(const tokenizer *t) {
    static const char *const texts[] = {"", "Hello, World!  ``a'' [CLS]<mask>",
                                        "d\xc3\xa9j\xc3\xa0 \xed\x95\x9c\xea\xb8\x80 \xf0\x9f\x91\x8d"};
    tokenizer_scratch scratch = {0};
    for (size_t i = 0; i < 3; i++) {
        rubato_input input = {.text = texts[i], .pair = texts[2 - i]};
        rubato_text_options options = {.size = sizeof options, .max_length = 12, .stride = 1, .windows = 1};
        rubato_encoding *encoding;
        if (tokenizer_encode(t, &input, &options, &scratch, &encoding, NULL) == RUBATO_OK)
            rubato_encoding_destroy(encoding);
    }
    tokenizer_scratch_free(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"Bert", "Roberta", "XLMRoberta", "Camembert", "Albert"};
    if (size == 0) return 0;
    const tokenizer_class *class = tokenizer_class_named(names[data[0] % 5]);
    const char *bytes = (const char *)data + 1, *half = memchr(bytes, 0, size - 1);
    file_bytes files[2] = {{bytes, size - 1}};
    if (class->files[1] && half) {
        files[0].size = (size_t)(half - bytes);
        files[1] = (file_bytes){half + 1, size - 2 - files[0].size};
    }
    tokenizer_source from = {.class = class};
    tokenizer *t;
    if (tokenizer_convert(&from.root, class, NULL, files, NULL) != RUBATO_OK) return 0;
    if (tokenizer_assemble(&t, &from, NULL) == RUBATO_OK) {
        try_texts(t);
        tokenizer_destroy(t);
    }
    json_decref(from.root);
    return 0;
}
