/* Metrics, each as in its reference implementation. */
#ifndef RUBATO_TASK_METRICS_H
#define RUBATO_TASK_METRICS_H

#include <stddef.h>

/* Share of equal entries. */
double metric_accuracy(const size_t *gold, const size_t *predicted, size_t count);

/* Unweighted mean of F1 over the labels that occur in either list (scikit-learn's macro average). */
double metric_macro_f1(const size_t *gold, const size_t *predicted, size_t count, size_t labels);

/* Matthews correlation, for any number of labels (Gorodkin 2004). 0 when it is undefined. */
double metric_matthews(const size_t *gold, const size_t *predicted, size_t count, size_t labels);

/* Any number of labels for each text: a label is given where its score is 0.5 or more. Precision, recall and F1 over
 * all decisions (scikit-learn's micro average), the unweighted mean of the labels' F1 (macro; a label that occurs
 * nowhere counts 0), and the share of texts whose labels are all right. */
typedef struct label_counts {
    double precision, recall, micro_f1, macro_f1, exact;
} label_counts;

/* gold [count, labels] 0 or 1, scores [count, labels]. */
label_counts metric_count_labels(const unsigned char *gold, const float *scores, size_t count, size_t labels);

double metric_pearson(const double *a, const double *b, size_t count);

/* Pearson of ranks; ties share their mean rank. NaN when memory is short. */
double metric_spearman(const double *a, const double *b, size_t count);

/* SQuAD's script: answers in lower case without punctuation, articles and extra white space; F1 over words. NaN when
 * memory is short. */
double metric_squad_exact(const char *answer, const char *gold);
double metric_squad_f1(const char *answer, const char *gold);

/* Entities as seqeval finds them in tags ("B-PER", "I-PER", "O"): counts of gold, predicted and correct ones. */
typedef struct entity_counts {
    size_t gold, predicted, correct;
} entity_counts;

void metric_count_entities(entity_counts *counts, const char *const *gold, const char *const *predicted, size_t count);
double metric_entity_f1(entity_counts counts);

#endif
