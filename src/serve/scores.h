/* What several dialects do with a model's numbers before they write them. */
#ifndef RUBATO_SERVE_SCORES_H
#define RUBATO_SERVE_SCORES_H

#include "serve/exchange.h"

/* Whether e->wish.dimensions is possible; writes the error. */
bool check_dimensions(exchange *e);

/* Cuts the items' embeddings to the dimensions wished for and normalises them; returns the width. */
size_t embedding_shape(exchange *e);

float cosine(const float *a, const float *b, size_t width);

/* Columns of WORK_SCORES. */
size_t score_width(const hosted *model);

/* The name of a column. */
const char *label_name(const hosted *model, size_t label);

/* Logits to probabilities, in place, unless raw scores were wished for: sigmoid for one label or independent labels
 * (text-embeddings-inference takes a softmax over those too, which is not what such a model means), else softmax. */
void label_probabilities(const exchange *e, float *logits);

/* Fills `order` with the indices of the values, highest first. */
void sort_by_value(const float *values, size_t count, size_t *order);

/* A reranker, or with none an embedding model, which ranks by cosine; writes the error. */
bool take_reranker(exchange *e, const char *what);

/* The items of ranking `documents` for the request's "query". */
bool take_documents(exchange *e, json_t *documents, const char *key);

/* Scores the documents into e->values[0 .. count) and gives their order, best first, cut to e->wish.top; *count is its
 * length. Release with free(). NULL: out of memory. */
size_t *rank_documents(exchange *e, size_t *count);

#endif
