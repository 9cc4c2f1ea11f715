/* The table of routes: paths and their functions. */
#include <string.h>

#include "serve/dialects.h"
#include "serve/server.h"

const route routes[] = {
    {"POST", "/embed", tei_embed, DIALECT_TEI, false, true, "embed"},
    {"POST", "/embed_all", tei_embed_all, DIALECT_TEI, false, true, "embed"},
    {"POST", "/embed_sparse", tei_embed_sparse, DIALECT_TEI, false, true, "embed"},
    {"POST", "/similarity", tei_similarity, DIALECT_TEI, false, true, "embed"},
    {"POST", "/predict", tei_predict, DIALECT_TEI, false, true, "predict"},
    {"POST", "/rerank", tei_rerank, DIALECT_TEI, false, true, "predict"},
    {"POST", "/tokenize", tei_tokenize, DIALECT_TEI, false, true, NULL},
    {"POST", "/decode", tei_decode, DIALECT_TEI, false, true, NULL},
    {"POST", "/", tei_any, DIALECT_TEI, false, true, "embed"},
    {"POST", "/invocations", tei_any, DIALECT_TEI, false, true, "embed"},
    {"POST", "/v1/embeddings", openai_embeddings, DIALECT_OPENAI, false, true, "embed"},
    {"POST", "/embeddings", openai_embeddings, DIALECT_OPENAI, false, true, "embed"},
    {"GET", "/v1/models", openai_models, DIALECT_OPENAI, false, false, NULL},
    {"POST", "/v1/rerank", rank_rerank, DIALECT_OPENAI, false, true, "predict"},
    {"POST", "/v2/rerank", rank_rerank, DIALECT_OPENAI, false, true, "predict"},
    {"POST", "/tag", task_tag, DIALECT_TEI, false, true, "predict"},
    {"POST", "/v1/tag", task_tag, DIALECT_TEI, false, true, "predict"},
    {"POST", "/answer", task_answer, DIALECT_TEI, false, true, "predict"},
    {"POST", "/v1/answer", task_answer, DIALECT_TEI, false, true, "predict"},
    {"POST", "/fill", task_fill, DIALECT_TEI, false, true, "predict"},
    {"POST", "/v1/fill", task_fill, DIALECT_TEI, false, true, "predict"},
    {"POST", "/zero-shot", task_zero_shot, DIALECT_TEI, false, true, "predict"},
    {"POST", "/v1/zero-shot", task_zero_shot, DIALECT_TEI, false, true, "predict"},
    {"POST", "/v1/trace", task_trace, DIALECT_TEI, false, true, NULL},
    {"GET", "/info", status_info, DIALECT_TEI, false, false, NULL},
    {"GET", "/health", status_health, DIALECT_TEI, true, false, NULL},
    {"GET", "/ready", status_health, DIALECT_TEI, true, false, NULL},
    {"GET", "/live", status_live, DIALECT_TEI, true, false, NULL},
    {"GET", "/ping", status_health, DIALECT_TEI, true, false, NULL},
    {"GET", "/metrics", status_metrics, DIALECT_TEI, true, false, NULL},
    {"GET", "/", page_playground, DIALECT_TEI, true, false, NULL},
    {"GET", "/docs", page_docs, DIALECT_TEI, true, false, NULL},
    {"GET", "/openapi.json", page_openapi, DIALECT_TEI, true, false, NULL},
    {"GET", "/api-doc/openapi.json", page_openapi, DIALECT_TEI, true, false, NULL},
    {NULL, NULL, NULL, DIALECT_TEI, false, false, NULL},
};

void tei_any(exchange *e) {
    hosted *first = server_model(e->server, NULL, WORK_ANY);
    rubato_task task = rubato_model_info(first->model)->task;
    hosted_release(first);
    void (*read)(exchange *) = json_object_get(e->request, "texts") ? tei_rerank
                               : task == RUBATO_TASK_TAGGING        ? task_tag
                               : task == RUBATO_TASK_QA             ? task_answer
                               : task == RUBATO_TASK_MLM            ? task_fill
                               : task == RUBATO_TASK_EMBEDDING      ? tei_embed
                                                                    : tei_predict;
    read(e);
}
