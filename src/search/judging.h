/* Judging candidates: their cost, their quality on a data set, and the results so far, which are also stored on
 * disk. */
#ifndef RUBATO_SEARCH_JUDGING_H
#define RUBATO_SEARCH_JUDGING_H

#include <stdio.h>

#include "search/pareto.h"
#include "task/evaluate.h"
#include "task/model.h"

typedef struct judging {
    rubato_model *model;
    rubato_context *context;
    const char *task, *path; /* of the data */
    size_t max_length;
    bool by_ms;    /* cost is time by the machine's cost model, else operations */
    double lowest; /* candidates that cost less are of no interest */
    char low[8];   /* the name of the low precision, for a model with two */
    /* The data on which points are chosen, the sample that is judged first, and the other examples; part and rest
     * borrow from data. */
    dataset data, part, rest;
    dataset told; /* data on which no point is chosen: the frontier's qualities are from them */
    /* For classification: the full model's label of each example of data. The quality of a candidate is then the share
     * of examples that get the same label, with or without a label of their own. It tells candidates apart better than
     * their accuracy: where two models agree, the texts and their labels add no noise. NULL: the task's metric. */
    size_t *reference;
    bool reference_wanted;
    size_t *lengths, length_count; /* lengths of a sample of the windows */
    rubato_encoding **encodings;   /* [length_count] these windows */
    /* The exit settings with which every candidate is judged in one pass; candidates are then bodies without an exit.
     * Count 0: candidates have exit settings of their own. */
    const exit_setting *settings;
    size_t setting_count;
    candidate *all; /* all evaluated candidates */
    size_t count, capacity;
    candidate *frontier;
    size_t frontier_count;
    size_t evaluations, dropped;
    FILE *log;
    char metric[32];
} judging;

/* Reads and divides the data as the options say. The caller has set the model, the context and the borrowed members. */
rubato_status judging_begin(judging *self, dataset_kind kind, const rubato_search_options *options,
                            rubato_error *error);
void judging_free(judging *self);

/* Evaluates data at a point, and sets the parts of the texts that run in each layer of a point with exits. *costs
 * (NULL: none) receives what the examples cost. */
rubato_status judging_measure(judging *self, point *at, const dataset *data, rubato_evaluation **out,
                              rubato_costs **costs, rubato_error *error);

/* The cost as a part of the full model's, over a sample of the data's lengths; with exits by the point's `alive`. */
double judging_cost(const judging *self, const point *at);

/* Opens search.jsonl. With `resume` its candidates are read first and put at the end of `all`, with a NULL family until
 * the search asks for them; BAD_ARGUMENT for a log of other data. */
rubato_status judging_open_log(judging *self, const char *path, bool resume, rubato_error *error);

/* Adds the candidates of the log that the search did not ask for to the frontier. A resumed search that is stopped
 * early, or draws other candidates, then loses no result. */
rubato_status judging_take_rest(judging *self, rubato_error *error);

/* The result for an equal point, or NULL. */
candidate *judging_find(judging *self, const point *gene);

/* Evaluates a candidate of a family and updates the frontier. It is judged on a third of the data first, and dropped
 * when it is clearly below a candidate that is as cheap: by more than the standard error on that third, where both were
 * judged on the same examples. `whole`: never dropped. */
rubato_status judging_evaluate(judging *self, const point *gene, const char *group, bool whole, rubato_error *error);

#endif
