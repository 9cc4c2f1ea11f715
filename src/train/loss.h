/* Losses. Each reads a tensor, adds the gradient, times `scale`, to the same tensor's gradient, and returns the sum
 * over its items without the scale. Callers divide by the number of items of the whole step through `scale`, so that a
 * step may run in parts. */
#ifndef RUBATO_TRAIN_LOSS_H
#define RUBATO_TRAIN_LOSS_H

#include "elastic/batch.h"
#include "tensor/tape.h"

/* Divergence of a smaller model's distribution from the full model's. */
typedef struct divergence {
    bool from_full;    /* KL(full || sub): soft labels, as in the Length-Adaptive Transformer's paper; else KL(sub ||
                          full),    as in its code */
    float temperature; /* T: both logits are divided by it, and the loss is multiplied by its square (Hinton et al.
                          2015); 0: 1 */
} divergence;

/* Cross-entropy of rows against label ids; rows whose label is negative do not count. */
double loss_cross_entropy(const run *on, tensor logits, const int32_t *labels, double scale);

/* Binary cross-entropy of every column against targets [logits.rows][columns] in [0, 1]; the mean of the columns. */
double loss_labels(const run *on, tensor logits, const float *const *targets, double scale);

/* The same against the probabilities of other logits [rows, columns], contiguous. */
double loss_labels_match(const run *on, tensor logits, const float *full, double scale);

/* The same of start (column 0) and end (column 1) over the rows of each sequence; the mean of the two.
 * starts, ends [sequences] count from the sequence's first row; negative: the sequence does not count. */
double loss_spans(const run *on, tensor logits, const batch *packed, const int32_t *starts, const int32_t *ends,
                  double scale);

/* Squared error of column 0. */
double loss_squares(const run *on, tensor logits, const float *values, double scale);

/* Divergence of rows from those of `full` [rows, columns], contiguous; rows whose label is negative do not count.
 * labels NULL: all count. */
double loss_divergence(const run *on, tensor logits, const float *full, const int32_t *labels, divergence form,
                       double scale);

/* The same of spans: the mean of start and end. */
double loss_spans_divergence(const run *on, tensor logits, const batch *packed, const float *full, divergence form,
                             double scale);

/* Squared error of all columns against rows `rows` of `full`, `stride` floats apart; rows NULL: all in order. For
 * regression, embeddings, states. */
double loss_match(const run *on, tensor values, const float *full, size_t stride, const size_t *rows, double scale);

/* Contrastive loss over pairs of vectors, rows 2i and 2i + 1, of length 1: cross-entropy of each first one's cosine
 * with all second ones, times `sharpness` (multiple negatives ranking, Henderson et al. 2017). */
double loss_contrast(const run *on, tensor vectors, double sharpness, double scale);

/* Squared error of each pair's cosine against values. */
double loss_cosine(const run *on, tensor vectors, const float *values, double scale);

#endif
