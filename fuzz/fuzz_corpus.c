/* Input: a byte that chooses the kind and the size of a vocabulary, then the bytes of a file of running text. The text
 * is refused, or a tokenizer is trained from it, which loads and has its special tokens first. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/text_lines.h"
#include "text/tokenizer_build.h"
#include "text/vocabulary.h"

static void need(bool holds) {
    if (!holds) abort();
}

static bool count_file(word_counts *counts, vocabulary_kind kind, bool cased, const char *path) {
    text_lines from;
    tokenizer *cutter = NULL;
    tokenizer_scratch scratch = {0};
    const char *line = NULL;
    size_t bytes;
    bool good = text_lines_open(&from, &path, 1, NULL) == RUBATO_OK &&
                vocabulary_cutter(&cutter, kind, cased, NULL) == RUBATO_OK;
    while (good && (good = text_lines_next(&from, &line, &bytes, NULL) == RUBATO_OK) && line)
        good = vocabulary_count(counts, cutter, line, bytes, &scratch, NULL) == RUBATO_OK;
    text_lines_close(&from);
    tokenizer_scratch_free(&scratch);
    tokenizer_destroy(cutter);
    return good;
}

static void try_tokenizer(vocabulary_kind kind, bool cased, const trained_vocabulary *learnt) {
    json_t *root = vocabulary_tokenizer(kind, cased, learnt);
    char *text = json_dumps(root, 0);
    tokenizer *made;
    need(text && tokenizer_parse(&made, text, strlen(text), "made", NULL, NULL, NULL, NULL) == RUBATO_OK);
    const char *const *specials = vocabulary_forms[kind].specials;
    for (int i = 0; specials[i]; i++) need(tokenizer_id(made, specials[i]) == i);
    need(made->vocabulary == learnt->tokens.count);
    tokenizer_destroy(made);
    free(text);
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    const vocabulary_kind kind = data[0] % 3;
    const bool cased = data[0] / 3 % 2;
    const token_options how = {.tokens = (kind == VOCABULARY_BPE ? 261 : 5) + (size_t)(data[0] / 4),
                               .least_count = 1,
                               .alphabet = data[0] / 8};
    word_counts counts = {0};
    trained_vocabulary learnt = {0};
    char path[40];
    int file = memfd_create("corpus", 0);
    need(file >= 0 && write(file, data + 1, size - 1) == (ssize_t)(size - 1));
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (count_file(&counts, kind, cased, path) && vocabulary_learn(&learnt, kind, &counts, &how, NULL) == RUBATO_OK)
        try_tokenizer(kind, cased, &learnt);
    trained_vocabulary_free(&learnt);
    word_counts_free(&counts);
    close(file);
    return 0;
}
