/* Training samples: a data set's rows as tokens, with the answers that they should get. */
#ifndef RUBATO_TRAIN_SAMPLES_H
#define RUBATO_TRAIN_SAMPLES_H

#include "store/dataset.h"
#include "task/model.h"

typedef struct sample {
    const rubato_window *window, *pair; /* pair: the second text of two that are embedded apart; else NULL */
    int32_t label;                      /* classification, next sentence; -1: none */
    int32_t start, end; /* question answering: first and last token of the answer; 0, 0: the window does not hold it */
    float value;        /* regression, cosine */
    const int32_t *labels; /* tagging: [window->length], -1 where a token has none */
} sample;

typedef struct samples {
    dataset data;
    rubato_encoding **encodings;
    size_t encoding_count;
    int32_t **token_labels; /* the arrays that the samples' labels point to */
    size_t labelled_count;
    sample *items;
    size_t count;
    size_t tokens; /* of all windows */
} samples;

/* The contents that a task needs of its data file. */
typedef enum sample_kind {
    SAMPLE_CLASS,
    SAMPLE_VALUE,
    SAMPLE_TAGS,
    SAMPLE_SPAN,
    SAMPLE_MASKED,
    SAMPLE_COSINE,  /* pairs with a similarity */
    SAMPLE_CONTRAST /* pairs that belong together */
} sample_kind;

/* Whether a sample has two texts that are embedded separately. */
static inline bool sample_takes_pairs(sample_kind kind) {
    return kind == SAMPLE_COSINE || kind == SAMPLE_CONTRAST;
}

/* Reads the file. Fails as dataset_read. */
rubato_status samples_read(samples *self, const char *path, sample_kind kind, const char *columns, size_t limit,
                           rubato_error *error);

/* The distinct labels of a data set, sorted (numbers by value; O first among tags); each points into it.
 * *labels is the caller's to free. Fails: BAD_DATA with the line of a text without a label, OUT_OF_MEMORY. */
rubato_status samples_labels(const samples *self, sample_kind kind, const char *path, const char ***labels,
                             size_t *count, rubato_error *error);

/* Tokenises, and sets the targets. `taught`: classification and regression may lack labels. Fails: BAD_DATA with the
 * file's line for a label that the model does not have. */
rubato_status samples_prepare(samples *self, const rubato_model *model, sample_kind kind, bool taught,
                              const rubato_text_options *text, const char *path, rubato_error *error);

void samples_free(samples *self);

#endif
