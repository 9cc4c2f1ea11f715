#include "text/word_counts.h"

#include <stdlib.h>

#include "base/list.h"

bool word_counts_add(word_counts *self, const char *word, size_t bytes) {
    size_t before = self->words.count, number = string_table_put(&self->words, word, bytes);
    if (number == STRING_NONE) return false;
    uint64_t *counts = list_grown(self->counts, number, &self->capacity, sizeof *counts);
    if (!counts) return false;
    self->counts = counts;
    self->counts[number] = number < before ? self->counts[number] + 1 : 1;
    return true;
}

void word_counts_free(word_counts *self) {
    string_table_free(&self->words);
    free(self->counts);
    *self = (word_counts){0};
}
