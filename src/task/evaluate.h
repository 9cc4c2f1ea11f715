/* Parts of evaluation: retrieval on a folder in BEIR layout (corpus.jsonl, queries.jsonl, qrels.tsv or qrels/test.tsv),
 * and what all tasks share. */
#ifndef RUBATO_TASK_EVALUATE_H
#define RUBATO_TASK_EVALUATE_H

#include "rubato.h"

/* Metrics: ndcg@10 (gain 1 for every relevant document), mrr@10, recall@100. */
rubato_status evaluate_retrieval(rubato_context *context, const rubato_eval_options *options,
                                 rubato_evaluation *evaluation, rubato_error *error);

/* Fills in the percentiles of the costs' ms; sorts the costs. */
void cost_percentiles(rubato_evaluation *out, rubato_cost *costs, size_t count);

#endif
