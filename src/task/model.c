/* Questions about a loaded model. */
#include "task/model.h"

#include <string.h>

#include "elastic/walk.h"

#include "base/checked.h"
#include "base/text_buffer.h"

const char *rubato_task_name(rubato_task task) {
    static const char *const names[] = {"embedding", "classification", "regression", "tagging", "qa", "mlm", "nsp",
                                        "lm"};
    return (size_t)task < sizeof names / sizeof names[0] ? names[task] : "unknown";
}

const rubato_info *rubato_model_info(const rubato_model *self) {
    return &self->info;
}

size_t rubato_point_count(const rubato_model *model) {
    return model->points.count;
}

const rubato_point *rubato_model_point(const rubato_model *model, size_t index) {
    return &model->shown[index];
}

/* ---- Heads ---- */

head_kind head_of_task(rubato_task task) {
    switch (task) {
    case RUBATO_TASK_CLASSIFICATION:
    case RUBATO_TASK_REGRESSION: return HEAD_SEQUENCE;
    case RUBATO_TASK_TAGGING: return HEAD_TOKEN;
    case RUBATO_TASK_QA: return HEAD_QA;
    case RUBATO_TASK_LM:
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
