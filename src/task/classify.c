/* Classification, regression, next-sentence prediction and reranking: one row of scores for each text or pair. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"
#include "base/text_buffer.h"
#include "task/costs.h"
#include "task/encode.h"
#include "task/window_rows.h"

typedef struct score_job {
    const head *head;
    window_rows rows;
} score_job;

static rubato_status take(void *user, const run *on, const encoded *out, const exit_session *left, const unit *units,
                          rubato_error *error) {
    const score_job *mine = user;
    size_t columns = mine->head->out.out;
    const float *logits = engine_results(mine->head, on, out, left);
    TRY(run_result(on, error));
    for (size_t i = 0; i < out->packed.sequences; i++)
        memcpy(window_rows_at(&mine->rows, &units[i]), logits + i * columns, columns * sizeof *logits);
    return RUBATO_OK;
}

/* A text without any token has no first row. */
static rubato_status prepare(void *user, size_t input, const rubato_encoding *encoding, rubato_error *error) {
    score_job *mine = user;
    for (size_t i = 0; i < encoding->count; i++)
        if (encoding->windows[i].length == 0)
            return fail(error, RUBATO_BAD_ARGUMENT, "the text has no tokens, special ones included");
    return window_rows_prepare(&mine->rows, input, encoding, error);
}

/* The logits [count, labels] of texts, whose windows are joined. */
static rubato_status run_logits(rubato_context *context, float *out, const rubato_input *inputs, size_t count,
                                const rubato_options *options, window_join join, rubato_costs **costs,
                                rubato_error *error) {
    const rubato_model *model = context->model;
    head_kind kind = model->info.task == RUBATO_TASK_NSP ? HEAD_NSP : HEAD_SEQUENCE;
    score_job mine = {0};
    rubato_options own;
    if (costs) *costs = NULL;
    TRY(engine_head(model, kind, &mine.head, error));
    job work = {.inputs = inputs,
                .count = count,
                .options = &own,
                .head = kind,
                .take = take,
                .user = &mine,
                .costs = costs,
                .prepare = prepare};
    TRY(engine_options(model, RUBATO_FOR_SCORES, options, &own, &work.text, error));
    rubato_status status = window_rows_create(&mine.rows, out, count, mine.head->out.out, work.text.windows, error);
    if (status == RUBATO_OK) status = engine_run(context, &work, error);
    if (status == RUBATO_OK) window_rows_join(&mine.rows, join);
    if (status == RUBATO_OK) status = engine_check(out, count * mine.head->out.out, error);
    window_rows_free(&mine.rows);
    return costs_end(costs, status);
}

rubato_status rubato_logits(rubato_context *context, float *out, const rubato_input *inputs, size_t count,
                            const rubato_options *options, rubato_costs **costs, rubato_error *error) {
    return run_logits(context, out, inputs, count, options, JOIN_MEAN, costs, error);
}

static void sigmoid(float *x, size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = 1.0f / (1.0f + expf(-x[i]));
}

/* What makes scores of logits. */
typedef enum scoring { BY_MODEL, SOFTMAX, SIGMOID, AS_IT_IS, SCORINGS } scoring;

/* Fails: BAD_ARGUMENT. NULL: by the model. */
static rubato_status scoring_find(scoring *out, const char *name, rubato_error *error) {
    static const char *const names[SCORINGS] = {"", "softmax", "sigmoid", "none"};
    *out = BY_MODEL;
    for (int i = BY_MODEL + 1; name && i < SCORINGS; i++)
        if (strcmp(name, names[i]) == 0) *out = (scoring)i;
    if (!name || *out) return RUBATO_OK;
    return fail(error, RUBATO_BAD_ARGUMENT, "function_to_apply \"%.40s\" is none of softmax, sigmoid and none", name);
}

static void make_scores(const rubato_context *context, scoring how, float *out, size_t count) {
    const rubato_info *info = &context->model->info;
    size_t columns = info->task == RUBATO_TASK_NSP ? 2 : info->label_count;
    bool value = info->task == RUBATO_TASK_REGRESSION;
    if (how == BY_MODEL) how = value ? AS_IT_IS : info->multi_label || columns == 1 ? SIGMOID : SOFTMAX;
    if (how == SIGMOID) sigmoid(out, count * columns);
    for (size_t i = 0; how == SOFTMAX && i < count; i++) context->kernels->softmax_f32(out + i * columns, columns);
}

rubato_status rubato_classify(rubato_context *context, float *out, const rubato_input *inputs, size_t count,
                              const rubato_options *options, rubato_costs **costs, rubato_error *error) {
    rubato_options own;
    scoring how;
    if (costs) *costs = NULL;
    TRY(OPTIONS_COPY(&own, rubato_options, options, error));
    TRY(scoring_find(&how, own.function_to_apply, error));
    TRY(rubato_logits(context, out, inputs, count, options, costs, error));
    make_scores(context, how, out, count);
    return RUBATO_OK;
}

void engine_scores(const rubato_context *context, float *out, size_t count) {
    make_scores(context, BY_MODEL, out, count);
}

static float cosine(const rubato_context *context, const float *a, const float *b, size_t width) {
    dot_f32_function *const dot = context->kernels->dot_f32;
    return dot(a, b, width) / fmaxf(sqrtf(dot(a, a, width)) * sqrtf(dot(b, b, width)), 1e-12f);
}

/* The cosine of the document's best passage; -1 for a document without tokens. */
static rubato_status rerank_by_passages(rubato_context *context, float *out, const float *query,
                                        const rubato_input *documents, size_t count, const rubato_options *options,
                                        rubato_costs **costs, rubato_error *error) {
    rubato_passages *all;
    const rubato_passage_options whole = {.size = sizeof whole, .run = options};
    TRY(rubato_embed_passages(context, &all, documents, count, &whole, costs, error));
    for (size_t i = 0; i < count; i++) {
        out[i] = -1;
        for (size_t j = 0; j < all[i].count; j++)
            out[i] = fmaxf(out[i], cosine(context, query, all[i].items[j].vector, context->model->pool.width));
    }
    rubato_free(all);
    return RUBATO_OK;
}

/* Bi-encoder: cosine between the query's vector and each document's. */
static rubato_status rerank_by_cosine(rubato_context *context, float *out, const char *query,
                                      const rubato_input *documents, size_t count, bool windows,
                                      const rubato_options *options, rubato_costs **costs, rubato_error *error) {
    size_t width = context->model->pool.width;
    float *vectors = malloc((count + 1) * width * sizeof *vectors);
    if (!vectors) return fail_memory(error);
    rubato_input first = {.text = query};
    rubato_status status = rubato_embed(context, vectors, &first, 1, options, NULL, error);
    if (status == RUBATO_OK && windows) {
        status = rerank_by_passages(context, out, vectors, documents, count, options, costs, error);
    } else if (status == RUBATO_OK) {
        status = rubato_embed(context, vectors + width, documents, count, options, costs, error);
        for (size_t i = 0; i < count && status == RUBATO_OK; i++)
            out[i] = cosine(context, vectors, vectors + (i + 1) * width, width);
    }
    free(vectors);
    return status;
}

void rubato_rank_scores(const rubato_context *context, float *logits, size_t count) {
    context->kernels->activate_f32(logits, count, context->model->rerank_act);
}

rubato_status rubato_rerank(rubato_context *context, float *out, const char *query, const rubato_input *documents,
                            size_t count, const rubato_options *options, rubato_costs **costs, rubato_error *error) {
    const rubato_model *model = context->model;
    if (costs) *costs = NULL;
    if (!query) return fail(error, RUBATO_BAD_ARGUMENT, "the query is NULL; a query without bytes is \"\"");
    TRY(engine_check_inputs(documents, count, error));
    rubato_options own;
    rubato_text_options text;
    TRY(OPTIONS_COPY(&own, rubato_options, options, error));
    TRY(OPTIONS_COPY(&text, rubato_text_options, own.text, error));
    if (model->info.task == RUBATO_TASK_EMBEDDING)
        return rerank_by_cosine(context, out, query, documents, count, text.windows, options, costs, error);
    if (!model->info.ranks)
        return fail(error, RUBATO_WRONG_TASK,
                    "%s: this is a model for %s with %zu labels, whose scores give no order; documents are ranked by a "
                    "cross-encoder, which has one label, or by an embedding model",
                    model->path, rubato_task_name(model->info.task), model->info.label_count);
    for (size_t i = 0; i < count; i++)
        if (documents[i].encoding)
            return fail_line(error, RUBATO_BAD_ARGUMENT, i + 1, "a document's encoding cannot become one of a pair");
    if (text.windows) text.truncation = RUBATO_ONLY_SECOND; /* windows of the document, each with the query */
    own.text = &text;
    const char *prompt = engine_prompt(model, &own);
    text_buffer asked = {0}; /* the prompt stands before the first text of a pair */
    if (prompt) text_add_string(&asked, prompt);
    text_add_string(&asked, query);
    rubato_input *pairs = calloc(count ? count : 1, sizeof *pairs);
    rubato_status status = pairs && !asked.failed ? RUBATO_OK : fail_memory(error);
    for (size_t i = 0; i < count && status == RUBATO_OK; i++)
        pairs[i] = (rubato_input){
            .text = asked.data ? asked.data : "", .pair = documents[i].text, .pair_bytes = documents[i].text_bytes};
    if (status == RUBATO_OK) status = run_logits(context, out, pairs, count, &own, JOIN_LARGEST, costs, error);
    if (status == RUBATO_OK) rubato_rank_scores(context, out, count);
    text_free(&asked);
    free(pairs);
    return status;
}
