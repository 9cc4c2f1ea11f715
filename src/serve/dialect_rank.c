/* Reranking for the clients of Cohere and Jina; the answer holds the fields of both. */
#include <stdlib.h>
#include <string.h>

#include "serve/dialects.h"
#include "serve/fields.h"
#include "serve/json_text.h"
#include "serve/scores.h"
#include "serve/server.h"

static void finish_rank(exchange *e) {
    text_buffer *out = &e->answer;
    size_t count, tokens = 0;
    size_t *order = rank_documents(e, &count);
    if (!order) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < e->count; i++) tokens += e->items[i].tokens;
    text_add_string(out, "{\"id\":");
    text_add_json(out, e->id, strlen(e->id));
    text_add_string(out, ",\"model\":");
    text_add_json(out, e->model->name, strlen(e->model->name));
    text_add_string(out, ",\"object\":\"list\",\"results\":[");
    for (size_t i = 0; i < count; i++) {
        text_add_format(out, "%s{\"index\":%zu,\"relevance_score\":", i ? "," : "", order[i]);
        text_add_float(out, e->values[order[i]]);
        if (e->wish.return_text) {
            const json_t *text = json_array_get(e->wish.documents, order[i]);
            if (json_is_object(text)) text = json_object_get(text, "text");
            text_add_string(out, ",\"document\":{\"text\":");
            text_add_json(out, json_string_value(text), json_string_length(text));
            text_add(out, "}", 1);
        }
        text_add(out, "}", 1);
    }
    text_add_format(out,
                    "],\"usage\":{\"prompt_tokens\":%zu,\"total_tokens\":%zu},\"meta\":{\"api_version\":{\"version\":"
                    "\"2\"},\"billed_units\":{\"search_units\":1}}}",
                    tokens, tokens);
    free(order);
}

static bool read_rank(exchange *e) {
    json_t *documents = json_object_get(e->request, "documents");
    if (!take_ranker(e, "model is not a re-ranker model") || !take_options(e, e->request) ||
        !take_prompt(e, e->request) || !field_count(e, e->request, "top_n", 0, &e->wish.top) ||
        !field_bool(e, e->request, "raw_scores", false, &e->wish.raw) ||
        !field_bool(e, e->request, "return_documents", false, &e->wish.return_text))
        return false;
    e->text.whole = 0;
    return take_documents(e, documents, "documents");
}

void rank_rerank(exchange *e) {
    e->finish = finish_rank;
    exchange_submit_if(e, read_rank(e));
}
