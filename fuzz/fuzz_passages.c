/* Input: a byte of options and a text. The text is refused as invalid UTF-8; or its passages stand in order within it,
 * without more tokens than they may have, and are as many in one pass as alone, unless preparation changes the text. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "task/load.h"

static void check(const rubato_passages *all, const char *text, size_t size, size_t most) {
    const size_t points = utf8_count(text, size);
    size_t before = 0;
    for (size_t i = 0; i < all->count; i++) {
        const rubato_passage *one = &all->items[i];
        if (one->start < before || one->end < one->start || one->end > points) abort();
        if (one->tokens == 0 || one->tokens > most) abort();
        before = one->start;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static rubato_model *model;
    static rubato_context *context;
    if (!model) {
        const rubato_context_options one = {.size = sizeof one, .threads = 1};
        if (rubato_model_load(&model, GOLDEN "/bert", NULL) != RUBATO_OK ||
            rubato_context_create(&context, model, &one, NULL) != RUBATO_OK)
            abort();
    }
    if (size == 0) return 0;
    const size_t most = 1 + data[0] % 8, bytes = size - 1;
    char *text = malloc(bytes + 1);
    memcpy(text, data + 1, bytes);
    text[bytes] = 0;
    model->sentence = model->lowercase = data[0] & 16;
    const rubato_options how = {.size = sizeof how, .prompt = data[0] & 32 ? " A: " : ""};
    const rubato_input input = {.text = text, .text_bytes = bytes ? bytes : RUBATO_EMPTY};
    size_t tokens[2] = {0};
    rubato_status status[2];
    for (size_t late = 0; late < 2; late++) {
        const rubato_passage_options options = {.size = sizeof options, .run = &how, .tokens = most, .late = late};
        rubato_passages *all;
        status[late] = rubato_embed_passages(context, &all, &input, 1, &options, NULL, NULL);
        if (status[late] != RUBATO_OK) continue;
        check(&all[0], text, bytes, most);
        for (size_t i = 0; i < all[0].count; i++) tokens[late] += all[0].items[i].tokens;
        rubato_free(all);
    }
    if ((status[0] == RUBATO_OK) != (status[1] == RUBATO_OK)) abort();
    if ((data[0] & 48) == 0 && tokens[0] != tokens[1]) abort();
    free(text);
    return 0;
}
