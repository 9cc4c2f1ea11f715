/* Head outputs for every token. */
#include "task/token_scores.h"

#include <stdlib.h>
#include <string.h>

/* Allocates one block for each input: pointers to its windows, then their scores. */
static rubato_status prepare(void *user, size_t input, const rubato_encoding *encoding, rubato_error *error) {
    token_scores *self = user;
    size_t rows = 0;
    for (size_t i = 0; i < encoding->count; i++) rows += encoding->windows[i].length;
    float **windows = malloc(encoding->count * sizeof *windows + rows * self->columns * sizeof(float));
    if (!windows) return fail_memory(error);
    float *at = (float *)(void *)(windows + encoding->count);
    for (size_t i = 0; i < encoding->count; i++) {
        windows[i] = at;
        at += encoding->windows[i].length * self->columns;
    }
    self->windows[input] = windows;
    return RUBATO_OK;
}

static rubato_status take(void *user, const run *on, const encoded *out, const exit_session *left, const unit *units,
                          rubato_error *error) {
    token_scores *self = user;
    const batch *packed = &out->packed;
    const float *scores = engine_results(self->head, on, out, left);
    TRY(run_result(on, error));
    for (size_t i = 0; i < packed->sequences; i++)
        for (size_t row = packed->start[i]; row < packed->start[i + 1]; row++)
            memcpy(self->windows[units[i].input][units[i].number] + (row - packed->start[i]) * self->columns,
                   scores + row * self->columns, self->columns * sizeof(float));
    return RUBATO_OK;
}

rubato_status token_scores_run(token_scores *self, rubato_context *context, head_kind kind, const rubato_input *inputs,
                               size_t count, const rubato_options *options, const rubato_text_options *text,
                               rubato_costs **costs, rubato_error *error) {
    *self = (token_scores){0};
    TRY(engine_head(context->model, kind, &self->head, error));
    self->columns = self->head->out.out;
    self->windows = calloc(count ? count : 1, sizeof *self->windows);
    if (!self->windows) return fail_memory(error);
    self->work = (job){.inputs = inputs,
                       .count = count,
                       .options = options,
                       .text = *text,
                       .head = kind,
                       .take = take,
                       .user = self,
                       .costs = costs,
                       .keep = true,
                       .prepare = prepare};
    return engine_run(context, &self->work, error);
}

void token_scores_free(token_scores *self) {
    for (size_t i = 0; self->windows && i < self->work.count; i++) free(self->windows[i]);
    free(self->windows);
    engine_release(&self->work);
    *self = (token_scores){0};
}
