/* Parts of evaluation: retrieval on a folder in BEIR layout (corpus.jsonl, queries.jsonl, qrels.tsv or qrels/test.tsv),
 * and the functions that all tasks share. */
#ifndef RUBATO_TASK_EVALUATE_H
#define RUBATO_TASK_EVALUATE_H

#include "rubato.h"
#include "store/dataset.h"

enum { MOST_METRICS = 8 };

/* An evaluation and the arrays behind it, in one block for rubato_free. */
typedef struct evaluation {
    rubato_evaluation is;
    rubato_metric metrics[MOST_METRICS];
    double *alive, *rows; /* [layers + 1], [layers] */
} evaluation;

/* All zero. */
rubato_status evaluation_create(evaluation **out, size_t layers, rubato_error *error);

/* Metrics: ndcg@10 (gain 1 for every relevant document), mrr@10, recall@100. */
rubato_status evaluate_retrieval(rubato_context *context, const rubato_eval_options *options, evaluation *out,
                                 rubato_error *error);

/* As rubato_evaluate, on a data set that is in memory already (NULL: reads options->data), at context->force.
 *   costs  receives what the examples cost, in any order; NULL for none */
rubato_status evaluate_loaded(rubato_context *context, const rubato_eval_options *options, const dataset *loaded,
                              rubato_evaluation **evaluation, rubato_costs **costs, rubato_error *error);

/* The metrics of logits [data->count, labels] that are known already; for classification and regression. */
rubato_status evaluate_logits(rubato_context *context, const rubato_eval_options *options, const dataset *data,
                              const float *logits, rubato_evaluation **evaluation, rubato_error *error);

/* The kind of data set that a task reads. Fails: BAD_ARGUMENT for an unknown task. */
rubato_status evaluate_kind(const char *task, dataset_kind *kind, rubato_error *error);

/* The value of a task's main metric, for which more is better, and its name: accuracy, f1 or spearman; NaN where there
 * is none. */
double evaluation_main(const rubato_evaluation *e, char *name, size_t bytes);

/* Fills in the percentiles of the costs' ms and flops_ratio; sorts the costs. */
rubato_status cost_percentiles(rubato_evaluation *out, rubato_cost *costs, size_t count, rubato_error *error);

#endif
