/* Embeddings: texts to vectors, and the nearest of them. */
#include <stdlib.h>
#include <string.h>

#include "base/input.h"
#include "base/text_buffer.h"
#include "task/costs.h"
#include "task/encode.h"
#include "task/job.h"

typedef struct embedding_job {
    const rubato_model *model;
    float *out;
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
    for (size_t i = 0; skip && i < packed->sequences; i++) skip[i] = mine->prompt_tokens;
    tensor vectors = pooling_forward(pool, on, out->rows, packed, skip);
    TRY(run_result(on, error));
    for (size_t i = 0; i < packed->sequences; i++)
        memcpy(mine->out + units[i].input * pool->width, tensor_row(vectors, i), pool->width * sizeof(float));
    arena_rewind(on->memory, mark);
    return RUBATO_OK;
}

/* The tokens of the prompt and the special token before it: as in sentence-transformers, the prompt's own encoding
 * without its last token. */
static rubato_status count_prompt(const rubato_model *model, const char *prompt, size_t *tokens, rubato_error *error) {
    *tokens = 0;
    if (!prompt || !model->pool.skip_prompt) return RUBATO_OK;
    rubato_encoding *encoding;
    rubato_text_options whole = {.size = sizeof whole, .whole = 1};
    rubato_input input = {.text = prompt};
    TRY(rubato_encode(model, &input, &whole, &encoding, error));
    *tokens = encoding->windows[0].length ? encoding->windows[0].length - 1 : 0;
    rubato_encoding_destroy(encoding);
    return RUBATO_OK;
}

rubato_status rubato_embed(rubato_context *context, float *out, const rubato_input *inputs, size_t count,
                           const rubato_options *options, rubato_costs **costs, rubato_error *error) {
    const rubato_model *model = context->model;
    embedding_job mine = {model, out, 0};
    rubato_options own;
    job work = {.count = count, .options = &own, .head = HEAD_COUNT, .take = take, .user = &mine, .costs = costs};
    if (costs) *costs = NULL;
    TRY(engine_check_inputs(inputs, count, error));
    TRY(engine_options(model, RUBATO_FOR_EMBEDDINGS, options, &own, &work.text, error));
    const char *prompt = engine_prompt(model, &own);
    TRY(count_prompt(model, prompt, &mine.prompt_tokens, error));
    rubato_status status = RUBATO_OK;
    rubato_input *prepared = NULL;
    text_buffer *texts = NULL;
    if (engine_prepares(model, prompt)) {
        prepared = calloc(count ? count : 1, sizeof *prepared);
        texts = calloc(count ? count : 1, sizeof *texts);
        if (!prepared || !texts) status = fail_memory(error);
        for (size_t i = 0; i < count && status == RUBATO_OK; i++) {
            prepared[i] = inputs[i];
            if (inputs[i].encoding) continue;
            if (!engine_prepare_text(model, prompt, &inputs[i], &texts[i])) status = fail_memory(error);
            prepared[i].text = texts[i].data ? texts[i].data : "";
            prepared[i].text_bytes = input_bytes(texts[i].length);
        }
    }
    work.inputs = prepared ? prepared : inputs;
    if (status == RUBATO_OK) status = engine_run(context, &work, error);
    if (status == RUBATO_OK) status = engine_check(out, count * model->pool.width, error);
    for (size_t i = 0; texts && i < count; i++) text_free(&texts[i]);
    free(texts);
    free(prepared);
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
