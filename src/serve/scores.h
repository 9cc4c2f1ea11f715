/* Functions that several dialects apply to a model's numbers before they write them. */
#ifndef RUBATO_SERVE_SCORES_H
#define RUBATO_SERVE_SCORES_H

#include "serve/exchange.h"

/* Whether the model's embeddings can be cut to e->wish.dimensions; writes the error. */
bool check_dimensions(exchange *e);

/* Cuts the items' embeddings to the wished dimensions and normalises them; returns the width. */
size_t embedding_shape(exchange *e);

float cosine(const float *a, const float *b, size_t width);

/* The number of columns of WORK_SCORES. */
size_t score_width(const hosted *model);

/* The name of a column. */
const char *label_name(const hosted *model, size_t label);

/* Turns logits into probabilities, in place, by the request's function_to_apply. Without one, unless the request wants
 * raw scores or the model is a regression by its problem_type: sigmoid for one label or for independent labels, else
 * softmax. (text-embeddings-inference takes a softmax over independent labels too, which is not the meaning of such a
 * model.) */
void label_probabilities(const exchange *e, float *logits);

/* Fills `order` with the indices of the values, highest first. */
bool sort_by_value(const float *values, size_t count, size_t *order);

/* Makes the items for ranking `documents` by the request's "query". */
bool take_documents(exchange *e, json_t *documents, const char *key);

/* Scores the documents into e->values[0 .. count). Returns their order, best first, cut to e->wish.top; *count receives
 * its length. Release with free(). NULL: out of memory. */
size_t *rank_documents(exchange *e, size_t *count);

#endif
