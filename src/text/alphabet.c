#include "text/alphabet.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

enum { CODES = 0x110000 };

static int by_count(const void *a, const void *b) {
    const letter *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return x->code < y->code ? -1 : x->code > y->code;
}

static int by_code(const void *a, const void *b) {
    const letter *x = a, *y = b;
    return x->code < y->code ? -1 : x->code > y->code;
}

static void count_codes(uint64_t *counts, const word_counts *words) {
    for (size_t i = 0, size; i < words->words.count; i++) {
        const char *word = string_table_at(&words->words, i, &size);
        for (size_t j = 0; j < size;) {
            uint32_t code;
            j += utf8_next((const unsigned char *)word + j, &code);
            counts[code] += words->counts[i];
        }
    }
}

rubato_status alphabet_of(alphabet *out, const word_counts *words, const token_options *options, rubato_error *error) {
    uint64_t *counts = calloc(CODES, sizeof *counts);
    size_t count = 0;
    *out = (alphabet){0};
    if (!counts) return fail_memory(error);
    count_codes(counts, words);
    for (size_t i = 0; i < options->always_count; i++) counts[options->always[i]] = UINT64_MAX;
    for (size_t i = 0; i < CODES; i++) count += counts[i] > 0;
    out->items = malloc((count + 1) * sizeof *out->items);
    for (uint32_t i = 0; out->items && i < CODES; i++)
        if (counts[i]) out->items[out->count++] = (letter){i, counts[i]};
    free(counts);
    if (!out->items) return fail_memory(error);
    if (count > options->alphabet) {
        qsort(out->items, count, sizeof *out->items, by_count);
        out->count = options->alphabet;
        qsort(out->items, out->count, sizeof *out->items, by_code);
    }
    return RUBATO_OK;
}

rubato_status vocabulary_begin(trained_vocabulary *out, alphabet *letters, const word_counts *words,
                               const token_options *options, rubato_error *error) {
    *letters = (alphabet){0};
    for (size_t i = 0; i < options->special_count; i++)
        if (string_table_put(&out->tokens, options->specials[i], strlen(options->specials[i])) == STRING_NONE)
            return fail_memory(error);
    TRY(alphabet_of(letters, words, options, error));
    out->characters = letters->count;
    return RUBATO_OK;
}

void alphabet_free(alphabet *self) {
    free(self->items);
    *self = (alphabet){0};
}
