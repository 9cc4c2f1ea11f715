/* Tagged words as one text. */
#include "task/words.h"

#include <string.h>

#include "base/utf8.h"

bool words_join(const example *item, text_buffer *text, size_t *starts) {
    bool spaced = true;
    size_t place = 0;
    for (size_t i = 0; i < item->word_count; i++) spaced = spaced && strcmp(item->words[i], " ") != 0;
    for (size_t i = 0; i < item->word_count; i++) {
        if (i && spaced) {
            text_add(text, " ", 1);
            place++;
        }
        starts[i] = place;
        text_add_string(text, item->words[i]);
        place += utf8_count(item->words[i], strlen(item->words[i]));
    }
    text_add(text, "", 0);
    return !text->failed;
}
