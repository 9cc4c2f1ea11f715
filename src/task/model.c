/* What a loaded model can be asked. */
#include "task/model.h"

#include <string.h>

#include "elastic/walk.h"

#include "base/checked.h"
#include "base/text_buffer.h"

const char *rubato_task_name(rubato_task task) {
    static const char *const names[] = {"embedding", "classification", "regression", "tagging", "qa", "mlm", "nsp"};
    return (size_t)task < sizeof names / sizeof names[0] ? names[task] : "unknown";
}

const rubato_info *rubato_model_info(const rubato_model *self) {
    return &self->info;
}

/* ---- Heads ---- */

head_kind head_of_task(rubato_task task) {
    switch (task) {
    case RUBATO_TASK_CLASSIFICATION:
    case RUBATO_TASK_REGRESSION: return HEAD_SEQUENCE;
    case RUBATO_TASK_TAGGING: return HEAD_TOKEN;
    case RUBATO_TASK_QA: return HEAD_QA;
    case RUBATO_TASK_MLM: return HEAD_MLM;
    case RUBATO_TASK_NSP: return HEAD_NSP;
    case RUBATO_TASK_EMBEDDING: break;
    }
    return HEAD_COUNT;
}

head_kind engine_main_head(const rubato_model *model) {
    return head_of_task(model->info.task);
}

rubato_status engine_head(const rubato_model *model, head_kind kind, const head **out, rubato_error *error) {
    static const char *const names[] = {"classify or rerank", "tag", "answer", "fill", "next-sentence"};
    *out = &model->heads[kind];
    if ((*out)->present) return RUBATO_OK;
    return fail(error, RUBATO_WRONG_TASK, "%s: this is a model for %s; it has no head to %s with", model->path,
                rubato_task_name(model->info.task), names[kind]);
}

double engine_flops(const rubato_model *model, const point *at, size_t length) {
    double flops = encoder_flops(&model->body, at, length);
    head_kind kind = engine_main_head(model);
    if (!at || !at->exit.rule || kind == HEAD_COUNT) return flops;
    for (layer_walk now = walk_layers(at, &model->body.shape, length); walk_next(&now);)
        if (now.layer + 1 >= at->exit.first)
            flops += now.alive * exits_flops(&model->exits, &model->heads[kind], now.layer, now.rows.leaving);
    return flops;
}

/* ---- Texts ---- */

rubato_status engine_text_options(const rubato_model *model, const rubato_options *options, rubato_text_options *out,
                                  rubato_error *error) {
    *out = options ? options->text : (rubato_text_options){0};
    size_t most = encoder_max_length(&model->body.config);
    if (out->whole) return RUBATO_OK;
    if (out->max_length == 0) out->max_length = model->info.max_length;
    if (out->max_length > most)
        return fail(error, RUBATO_BAD_ARGUMENT, "a maximum length of %zu tokens; this model takes %zu", out->max_length,
                    most);
    return RUBATO_OK;
}

rubato_status engine_check_window(const rubato_model *model, const rubato_window *window, rubato_error *error) {
    size_t most = encoder_max_length(&model->body.config);
    if (window->length > most)
        return fail(error, RUBATO_BAD_ARGUMENT, "%zu tokens; this model takes %zu", window->length, most);
    for (size_t i = 0; i < window->length; i++)
        if ((size_t)window->ids[i] >= model->body.config.vocabulary ||
            (model->body.tables.type.data && (size_t)window->types[i] >= model->body.config.types))
            return fail(error, RUBATO_BAD_MODEL, "token id %d or type %d of the tokenizer is beyond the model's tables",
                        window->ids[i], window->types[i]);
    return RUBATO_OK;
}

rubato_status rubato_encode(const rubato_model *model, const rubato_input *input, const rubato_text_options *options,
                            rubato_encoding **encoding, rubato_error *error) {
    tokenizer_scratch scratch = {0};
    rubato_text_options own = options ? *options : (rubato_text_options){0};
    if (!own.whole && own.max_length == 0) own.max_length = model->info.max_length;
    rubato_status status = tokenizer_encode(model->text, input, &own, &scratch, encoding, error);
    tokenizer_scratch_free(&scratch);
    return status;
}

rubato_status rubato_decode(const rubato_model *model, const int32_t *ids, size_t count, int skip_special, char **text,
                            rubato_error *error) {
    text_buffer out = {0};
    *text = NULL;
    rubato_status status = tokenizer_decode(model->text, ids, count, skip_special, &out, error);
    if (status == RUBATO_OK)
        *text = out.data;
    else
        text_free(&out);
    return status;
}

const char *rubato_token(const rubato_model *model, int32_t id, size_t *bytes) {
    bool known = id >= 0 && (size_t)id < model->text->vocabulary && model->text->tokens[id];
    if (bytes) *bytes = known ? model->text->token_bytes[id] : 0;
    return known ? model->text->tokens[id] : NULL;
}
