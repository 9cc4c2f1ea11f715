/* The functions of the dialects. Each reads a request into items and submits them, or answers at once. The routes name
 * them. */
#ifndef RUBATO_SERVE_DIALECTS_H
#define RUBATO_SERVE_DIALECTS_H

#include "serve/exchange.h"

/* text-embeddings-inference */
void tei_embed(exchange *e);
void tei_embed_all(exchange *e);
void tei_embed_sparse(exchange *e);
void tei_similarity(exchange *e);
void tei_predict(exchange *e);
void tei_rerank(exchange *e);
void tei_tokenize(exchange *e);
void tei_decode(exchange *e);

/* POST / and /invocations: the task of the first model */
void tei_any(exchange *e);

/* OpenAI */
void openai_embeddings(exchange *e);
void openai_models(exchange *e);

/* Cohere and Jina */
void rank_rerank(exchange *e);

/* Tasks that other servers do not have, in the shapes of the Hugging Face inference API */
void task_tag(exchange *e);
void task_answer(exchange *e);
void task_fill(exchange *e);
void task_trace(exchange *e);

/* Zero-shot classification: the answer as the pipeline of `transformers` gives it, and as /predict does */
void task_zero_shot(exchange *e);
void zero_shot_predict(exchange *e);

/* Information about the server */
void status_info(exchange *e);
void status_health(exchange *e);
void status_live(exchange *e);
void status_metrics(exchange *e);
void page_playground(exchange *e);
void page_docs(exchange *e);
void page_openapi(exchange *e);

#endif
