/* OpenAI's embeddings. */
#include <string.h>

#include "serve/dialects.h"
#include "serve/fields.h"
#include "serve/json_text.h"
#include "serve/scores.h"
#include "serve/server.h"

static void finish_embeddings(exchange *e) {
    text_buffer *out = &e->answer;
    size_t width = embedding_shape(e), tokens = 0;
    text_add_string(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < e->count; i++) {
        text_add_format(out, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", i ? "," : "", i);
        if (e->wish.base64) {
            text_add(out, "\"", 1);
            text_add_floats_base64(out, e->items[i].values, width);
            text_add(out, "\"}", 2);
        } else {
            text_add_floats(out, e->items[i].values, width);
            text_add(out, "}", 1);
        }
        tokens += e->items[i].tokens;
    }
    text_add_string(out, "],\"model\":");
    text_add_json(out, e->model->name, strlen(e->model->name));
    text_add_format(out, ",\"usage\":{\"prompt_tokens\":%zu,\"total_tokens\":%zu}}", tokens, tokens);
}

static bool read_embeddings(exchange *e) {
    const char *format;
    if (!take_model(e, WORK_EMBED, "model is not an embedding model") || !take_options(e, e->request) ||
        !take_prompt(e, e->request) || !field_text(e, e->request, "encoding_format", &format) ||
        !field_size(e, e->request, "dimensions", 0, &e->wish.dimensions) || !check_dimensions(e))
        return false;
    bool late;
    if (!field_bool(e, e->request, "late_chunking", false, &late)) return false;
    if (late) {
        exchange_fail(e, 422, "Validation",
                      "`late_chunking` is not done here; the program's embed --passages --late does it");
        return false;
    }
    e->text.whole = 0;
    e->wish.normalize = true;
    e->wish.base64 = format && strcmp(format, "base64") == 0;
    if (format && !e->wish.base64 && strcmp(format, "float") != 0) {
        exchange_fail(e, 422, "Validation", "`encoding_format` should be \"float\" or \"base64\"");
        return false;
    }
    return take_texts(e, json_object_get(e->request, "input"), "input", e->model->info->width);
}

void openai_embeddings(exchange *e) {
    e->finish = finish_embeddings;
    exchange_submit_if(e, read_embeddings(e));
}

void openai_models(exchange *e) {
    text_buffer *out = &e->answer;
    text_add_string(out, "{\"object\":\"list\",\"data\":[");
    pthread_mutex_lock(&e->server->models_lock);
    for (size_t i = 0; i < e->server->model_count; i++) {
        const char *name = e->server->models[i]->name;
        text_add_string(out, i ? ",{\"id\":" : "{\"id\":");
        text_add_json(out, name, strlen(name));
        text_add_format(out, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"rubato\"}",
                        (long long)e->server->started);
    }
    pthread_mutex_unlock(&e->server->models_lock);
    text_add_string(out, "]}");
}
