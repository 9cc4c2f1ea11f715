/* Words of running text with their numbers. */
#ifndef RUBATO_TEXT_WORD_COUNTS_H
#define RUBATO_TEXT_WORD_COUNTS_H

#include "base/string_table.h"

/* A struct of zero bytes is valid and empty. */
typedef struct word_counts {
    string_table words;
    uint64_t *counts; /* [words.count] */
    size_t capacity;
} word_counts;

/* Counts a word once more. False when memory is short. */
bool word_counts_add(word_counts *self, const char *word, size_t bytes);
void word_counts_free(word_counts *self);

#endif
