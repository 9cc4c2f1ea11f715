/* Data sets: labelled texts and pairs, questions with contexts, tagged words, documents with relevance judgements. The
 * name of the file gives the format: .tsv (a header line, no quoting), .csv (quoted, header), .jsonl, SQuAD's .json,
 * CoNLL columns (any other name), and a folder of seq.in, seq.out and label (words, tags and intents, one sentence in
 * each line). A row that cannot be read is an error with the file and the line. */
#ifndef RUBATO_STORE_DATASET_H
#define RUBATO_STORE_DATASET_H

#include <stdbool.h>

#include "base/error.h"

typedef struct example {
    char *text, *pair, *label; /* NULL where there is none */
    char **labels;             /* of a text with any number of labels, which its file gives as a list; else NULL */
    size_t label_count;
    char **answers;        /* accepted answers of a question; none: the context has no answer */
    size_t *answer_starts; /* code points of the context; SIZE_MAX where the data set has no positions */
    size_t answer_count;
    char **words, **tags; /* of a tagged sentence */
    size_t word_count;
    size_t line; /* of the file; in .json the number of the example, from 1 on */
} example;

typedef struct dataset {
    example *items;
    size_t count, capacity;
    const char *label_from, *label_also; /* the column of labels, and another that could be it; NULL: there is one */
} dataset;

typedef enum dataset_kind {
    DATASET_TEXTS,     /* text, pair, label */
    DATASET_QUESTIONS, /* text: question, pair: context, answers */
    DATASET_TAGS       /* words, tags */
} dataset_kind;

/* Reads a file or folder.
 *   columns  "text=sentence,pair=other,label=label": names of the header or keys of JSON objects, or numbers from 1 on
 *            for a file without a header; NULL: common names are recognised
 * Fails: NOT_FOUND, IO, BAD_DATA with error->line, OUT_OF_MEMORY; then nothing is held. */
rubato_status dataset_read(dataset *data, const char *path, dataset_kind kind, const char *columns,
                           rubato_error *error);
void dataset_free(dataset *data);

/* Releases the contents of one example. */
void example_free(example *item);

/* Keeps `limit` examples (0: all) in their order, drawn by the seed: labels keep their proportions, and a label that
 * occurs stays as long as there is room for one example of each. Files are often sorted; their first rows stand for
 * nothing. */
rubato_status dataset_sample(dataset *data, size_t limit, uint64_t seed, rubato_error *error);

/* Moves about `share` of the examples into `rest`, which receives the same proportions of labels. Examples of one
 * document stay together: questions about one context, pairs with one first text, equal texts. A function of the
 * contents alone. On failure both are as before. */
rubato_status dataset_divide(dataset *data, dataset *rest, double share, rubato_error *error);

/* Removes the examples whose document (as above) occurs in `other`. On failure nothing is removed. */
rubato_status dataset_remove_shared(dataset *data, const dataset *other, rubato_error *error);

/* A hash of all contents. */
uint64_t dataset_hash(const dataset *data);

/* Fails with BAD_DATA, or another status, and the place of an example: its line, or in .json, which has no lines of
 * examples, its number. */
rubato_status fail_example(rubato_error *error, rubato_status code, const char *path, size_t line, const char *format,
                           ...) PRINTF_LIKE(5, 6);

/* As dataset_read, for text in memory; `name` is used in messages and gives the format. For tests and fuzzing. */
rubato_status dataset_parse(dataset *data, const char *text, size_t size, const char *name, dataset_kind kind,
                            const char *columns, rubato_error *error);

#endif
