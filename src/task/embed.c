/* Embeddings: texts to vectors, and the nearest of them. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "task/costs.h"
#include "task/encode.h"
#include "task/window_rows.h"

typedef struct embedding_job {
    const rubato_model *model;
    window_rows rows;
    size_t prompt_tokens; /* leading rows, which a folder with include_prompt false leaves out */
} embedding_job;

static rubato_status take(void *user, const run *on, const encoded *out, const exit_session *left, const unit *units,
                          rubato_error *error) {
    embedding_job *mine = user;
    const batch *packed = &out->packed;
    (void)left;
    const pooling *pool = &mine->model->pool;
    arena_mark mark = arena_save(on->memory);
    size_t *skip = run_take(on, packed->sequences, sizeof *skip);
    /* the prompt stands in a text's first window */
    for (size_t i = 0; skip && i < packed->sequences; i++)
        skip[i] = units[i].number == 0 ? mine->prompt_tokens : size_min(mine->prompt_tokens, 1);
    tensor vectors = pooling_forward(pool, on, out->rows, packed, skip);
    TRY(run_result(on, error));
    for (size_t i = 0; i < packed->sequences; i++)
        memcpy(window_rows_at(&mine->rows, &units[i]), tensor_row(vectors, i), pool->width * sizeof(float));
    arena_rewind(on->memory, mark);
    return RUBATO_OK;
}

static rubato_status prepare(void *user, size_t input, const rubato_encoding *encoding, rubato_error *error) {
    return window_rows_prepare(&((embedding_job *)user)->rows, input, encoding, error);
}

/* The mean of vectors of length 1 is shorter. */
static void join_windows(const rubato_context *context, const window_rows *rows) {
    const size_t width = rows->columns;
    window_rows_join(rows, JOIN_MEAN);
    for (size_t i = 0; rows->parts && context->model->info.normalized && i < rows->count; i++) {
        float *row = rows->out + i * width;
        if (!rows->parts[i].rows) continue;
        const float inverse = 1.0f / fmaxf(sqrtf(context->kernels->dot_f32(row, row, width)), 1e-12f);
        for (size_t j = 0; j < width; j++) row[j] *= inverse;
    }
}

rubato_status rubato_embed(rubato_context *context, float *out, const rubato_input *inputs, size_t count,
                           const rubato_options *options, rubato_costs **costs, rubato_error *error) {
    const rubato_model *model = context->model;
    embedding_job mine = {.model = model};
    rubato_options own;
    job work = {.count = count,
                .options = &own,
                .head = HEAD_COUNT,
                .take = take,
                .user = &mine,
                .costs = costs,
                .prepare = prepare};
    if (costs) *costs = NULL;
    TRY(engine_check_inputs(inputs, count, error));
    TRY(engine_options(model, RUBATO_FOR_EMBEDDINGS, options, &own, &work.text, error));
    const char *prompt = engine_prompt(model, &own);
    TRY(engine_prompt_tokens(model, prompt, &mine.prompt_tokens, error));
    rubato_status status = window_rows_create(&mine.rows, out, count, model->pool.width, work.text.windows, error);
    prepared_inputs texts = {0};
    if (status == RUBATO_OK) status = prepared_inputs_create(&texts, model, prompt, inputs, count, error);
    work.inputs = texts.use;
    if (status == RUBATO_OK) status = engine_run(context, &work, error);
    if (status == RUBATO_OK) join_windows(context, &mine.rows);
    if (status == RUBATO_OK) status = engine_check(out, count * model->pool.width, error);
    prepared_inputs_free(&texts);
    window_rows_free(&mine.rows);
    return costs_end(costs, status);
}

size_t rubato_nearest(const rubato_context *context, const float *query, const float *corpus, size_t count,
                      size_t width, size_t top, size_t *indices, float *scores) {
    size_t found = 0;
    for (size_t i = 0; i < count && top > 0; i++) {
        float score = context->kernels->dot_f32(query, corpus + i * width, width);
        if (found == top && score <= scores[found - 1]) continue;
        size_t at = found < top ? found++ : found - 1;
        for (; at > 0 && scores[at - 1] < score; at--) {
            scores[at] = scores[at - 1];
            indices[at] = indices[at - 1];
        }
        scores[at] = score;
        indices[at] = i;
    }
    return found;
}
