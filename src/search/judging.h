/* Candidates at work: what they cost, how good they are on a data set, and what is known of them so far, on disk too.
 */
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
    double lowest; /* what costs less is of no interest */
    char low[8];   /* name of the lower of two precisions */
    /* The data, a sample that is looked at first, and the others; part and rest borrow from it. */
    dataset data, part, rest;
    size_t *lengths, length_count; /* of some of the windows */
    rubato_encoding **encodings;   /* [length_count] they themselves */
    /* Exit settings that every candidate is judged with, by one pass for all of them: candidates are bodies without an
     * exit then. 0: candidates have exits of their own. */
    const exit_setting *settings;
    size_t setting_count;
    candidate *all; /* everything evaluated */
    size_t count, capacity;
    candidate *frontier;
    size_t frontier_count;
    size_t evaluations, dropped;
    FILE *log;
    char metric[32];
} judging;

/* Reads the data and prepares; the model, context and what is borrowed are set. */
rubato_status judging_begin(judging *self, dataset_kind kind, const char *columns, size_t limit, rubato_error *error);
void judging_free(judging *self);

/* Of the full model, over a sample of the data's lengths; with exits by the point's `alive`. */
double judging_cost(const judging *self, const point *at);

/* Opens search.jsonl, with `resume` after reading what it holds: at the end of `all`, with a NULL family until they are
 * asked for. */
rubato_status judging_open_log(judging *self, const char *path, bool resume, rubato_error *error);

/* What the log held and nobody asked for joins the frontier: a resumed search that is stopped early, or draws
 * otherwise, loses nothing that was found. */
rubato_status judging_take_rest(judging *self, rubato_error *error);

/* NULL where nothing of the kind is known. */
candidate *judging_find(judging *self, const point *gene);

/* Evaluates a candidate of a family and renews the frontier. A glimpse at a third of the data drops what is clearly
 * below something as cheap, by more than the glimpse's standard error, where both saw the same examples. `whole`: no
 * dropping. */
rubato_status judging_evaluate(judging *self, const point *gene, const char *group, bool whole, rubato_error *error);

#endif
