/* Training samples: a data set's rows as tokens, with the answers that they should get; or sequences of running text,
 * which are drawn anew in every epoch. */
#ifndef RUBATO_TRAIN_SAMPLES_H
#define RUBATO_TRAIN_SAMPLES_H

#include "store/dataset.h"
#include "task/model.h"
#include "train/instances.h"

typedef struct sample {
    const rubato_window *window, *pair;        /* pair: the second text of two that are embedded apart; else NULL */
    const rubato_window *taught, *taught_pair; /* the same in the teacher's tokens, where these are others; else NULL */
    int32_t label;                             /* classification, next sentence; -1: none */
    int32_t start, end; /* question answering: first and last token of the answer; 0, 0: the window does not hold it */
    float value;        /* regression, cosine */
    const int32_t *labels; /* tagging: [window->length], -1 where a token has none */
    const float *targets;  /* several labels at once: [label_count] 1 for a label that the text has, else 0 */
    size_t number;         /* its place among the samples */
} sample;

typedef struct samples {
    dataset data;
    rubato_encoding **encodings;
    size_t encoding_count;
    void **arrays; /* those that the samples' labels and targets point to */
    size_t array_count;
    sample *items; /* NULL: the samples are drawn from `text` */
    size_t count;  /* of an epoch */
    corpus text;
    instances drawn; /* of this epoch */
    instance_options drawing;
    const tokenizer *template;
    uint64_t key;  /* of this epoch */
    size_t tokens; /* of all windows */
    size_t empty;  /* texts without a token */
    size_t cut;    /* rows of which tokens were cut away */
    size_t rows;   /* of the file, before some were drawn */
} samples;

/* The contents that a task needs of its data file. */
typedef enum sample_kind {
    SAMPLE_CLASS,
    SAMPLE_CLASSES, /* any number of labels for a text */
    SAMPLE_VALUE,
    SAMPLE_TAGS,
    SAMPLE_SPAN,
    SAMPLE_MASKED,
    SAMPLE_TEXT,    /* texts alone: a teacher has more to say of them than an answer */
    SAMPLE_COSINE,  /* pairs with a similarity */
    SAMPLE_CONTRAST /* pairs that belong together */
} sample_kind;

/* Whether samples have labels of a set. */
static inline bool sample_takes_labels(sample_kind kind) {
    return kind == SAMPLE_CLASS || kind == SAMPLE_CLASSES || kind == SAMPLE_TAGS;
}

/* Whether a sample has two texts that are embedded separately. */
static inline bool sample_takes_pairs(sample_kind kind) {
    return kind == SAMPLE_COSINE || kind == SAMPLE_CONTRAST;
}

/* Whether a sample has one answer for a whole text, whatever its tokens are. */
static inline bool sample_is_whole(sample_kind kind) {
    return kind == SAMPLE_CLASS || kind == SAMPLE_CLASSES || kind == SAMPLE_VALUE || sample_takes_pairs(kind);
}

/* Reads the file and draws `limit` of its rows by the seed (0: all). A kind of SAMPLE_CLASS becomes SAMPLE_CLASSES
 * where rows have lists of labels. Fails as dataset_read. */
rubato_status samples_read(samples *self, const char *path, sample_kind *kind, const char *columns, size_t limit,
                           uint64_t seed, rubato_error *error);

/* The distinct labels of a data set, sorted (numbers by value; O first among tags); each points into it.
 * *labels is the caller's to free. Fails: BAD_DATA with the line of a text without a label, OUT_OF_MEMORY. */
rubato_status samples_labels(const samples *self, sample_kind kind, const char *path, const char ***labels,
                             size_t *count, rubato_error *error);

/* Tokenises, and sets the targets. `taught`: classification and regression may lack labels. `teacher`: a model with
 * other tokens, for the kinds that have one answer for a text (sample_is_whole); else NULL. Fails: BAD_DATA with the
 * file's line for a label that the model does not have. */
rubato_status samples_prepare(samples *self, const rubato_model *model, sample_kind kind, bool taught,
                              const rubato_model *teacher, const rubato_text_options *text, const char *path,
                              rubato_error *error);

/* Reads running text, and draws the first epoch's samples. `how` is of the reading. Fails as corpus_read. */
rubato_status samples_read_text(samples *self, const char *paths, const rubato_model *model,
                                const instance_options *drawing, const corpus_options *how, rubato_error *error);

/* Begins an epoch: samples of running text are drawn by its key; as many as in the first. Fails: OUT_OF_MEMORY. */
rubato_status samples_begin_epoch(samples *self, uint64_t key, rubato_error *error);

/* Sample number `index` of the epoch, in the arena where it is drawn. NULL when memory is short. */
const sample *samples_at(const samples *self, size_t index, arena *memory);

void samples_free(samples *self);

#endif
