/* Filling masks, and the raw outputs for tools and tests: hidden states and token scores. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/input.h"
#include "base/text_buffer.h"
#include "base/utf8.h"
#include "task/costs.h"
#include "task/encode.h"
#include "task/job.h"
#include "task/token_scores.h"

/* ---- Masks ---- */

typedef struct fill_job {
    const rubato_model *model;
    const head *head;
    float *scores; /* [masks, vocabulary] */
    const size_t *rows;
    size_t count;
} fill_job;

static rubato_status take_masks(void *user, const run *on, const encoded *out, const exit_session *left,
                                const unit *units, rubato_error *error) {
    fill_job *mine = user;
    (void)left;
    (void)units;
    tensor scores = head_forward(mine->head, on, out->rows, mine->rows, mine->count);
    if (!scores.data) return fail_memory(error);
    for (size_t i = 0; i < mine->count; i++)
        memcpy(mine->scores + i * scores.columns, scores.data + i * scores.stride, scores.columns * sizeof(float));
    return RUBATO_OK;
}

/* The best of the tokens `among` (NULL: of all), the lower id first where scores are equal. */
static void best_tokens(const float *scores, const int32_t *among, size_t count, size_t top, rubato_candidate *out) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        int32_t id = among ? among[i] : (int32_t)i;
        if (found == top && scores[id] <= out[top - 1].score) continue;
        size_t at = found < top ? found++ : top - 1;
        for (; at > 0 && out[at - 1].score < scores[id]; at--) out[at] = out[at - 1];
        out[at] = (rubato_candidate){id, scores[id]};
    }
}

static int by_id(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* The targets in order and once each, in *out; the caller's to free. */
static rubato_status sort_targets(const int32_t *targets, size_t count, size_t vocabulary, int32_t **out, size_t *kept,
                                  rubato_error *error) {
    if (count == 0) return fail(error, RUBATO_BAD_ARGUMENT, "no target token");
    for (size_t i = 0; i < count; i++)
        if (targets[i] < 0 || (size_t)targets[i] >= vocabulary)
            return fail(error, RUBATO_BAD_ARGUMENT, "target token %d; the model has %zu tokens", targets[i],
                        vocabulary);
    *out = malloc(count * sizeof **out);
    if (!*out) return fail_memory(error);
    memcpy(*out, targets, count * sizeof **out);
    qsort(*out, count, sizeof **out, by_id);
    *kept = 1;
    for (size_t i = 1; i < count; i++)
        if ((*out)[i] != (*out)[i - 1]) (*out)[(*kept)++] = (*out)[i];
    return RUBATO_OK;
}

rubato_status rubato_fill(rubato_context *context, rubato_candidate **out, size_t *masks, const rubato_input *input,
                          size_t top, const rubato_options *options, rubato_costs **costs, rubato_error *error) {
    size_t each;
    return rubato_fill_among(context, out, masks, &each, input, NULL, 0, top, options, costs, error);
}

rubato_status rubato_fill_among(rubato_context *context, rubato_candidate **out, size_t *masks, size_t *each,
                                const rubato_input *input, const int32_t *targets, size_t target_count, size_t top,
                                const rubato_options *options, rubato_costs **costs, rubato_error *error) {
    const rubato_model *model = context->model;
    fill_job mine = {.model = model};
    *out = NULL;
    *masks = *each = 0;
    rubato_options own;
    if (costs) *costs = NULL;
    TRY(engine_check_inputs(input, 1, error));
    if (model->info.task == RUBATO_TASK_LM)
        return fail(error, RUBATO_WRONG_TASK, "%s: a causal model sees no token behind a mask; it cannot fill it",
                    model->path);
    rubato_input known = *input; /* with its encoding */
    TRY(engine_head(model, HEAD_MLM, &mine.head, error));
    job work = {.inputs = &known,
                .count = 1,
                .options = &own,
                .head = HEAD_MLM,
                .take = take_masks,
                .user = &mine,
                .costs = costs};
    TRY(engine_options(model, RUBATO_FOR_TOKENS, options, &own, &work.text, error));
    size_t *rows = NULL, vocabulary = mine.head->out.out, candidates = vocabulary;
    int32_t *among = NULL;
    rubato_status status;
    TRY_DONE(engine_encode(model, input, &work.text, &context->workers[0].text, &known.encoding, error));
    const rubato_window *window = &known.encoding->windows[0];
    rows = calloc(window->length + 1, sizeof *rows);
    if (!rows) {
        status = fail_memory(error);
        goto done;
    }
    for (size_t i = 0; i < window->length; i++)
        if (window->ids[i] == model->text->mask) rows[mine.count++] = i;
    if (mine.count == 0) {
        const char *mask = rubato_token(model, model->text->mask, NULL);
        status = fail(error, RUBATO_BAD_ARGUMENT, "no %s in the text (or it was cut away)", mask ? mask : "mask token");
        goto done;
    }
    if (targets) TRY_DONE(sort_targets(targets, target_count, vocabulary, &among, &candidates, error));
    top = size_min(size_max(top, 1), candidates);
    mine.rows = rows;
    mine.scores = malloc(mine.count * vocabulary * sizeof *mine.scores);
    *out = calloc(mine.count * top, sizeof **out);
    if (!mine.scores || !*out) {
        status = fail_memory(error);
        goto done;
    }
    TRY_DONE(engine_run(context, &work, error));
    TRY_DONE(engine_check(mine.scores, mine.count * vocabulary, error));
    for (size_t i = 0; i < mine.count; i++) {
        context->kernels->softmax_f32(mine.scores + i * vocabulary, vocabulary);
        best_tokens(mine.scores + i * vocabulary, among, candidates, top, *out + i * top);
    }
    *masks = mine.count;
    *each = top;
done:
    engine_encoding_free(input, known.encoding);
    free(rows);
    free(among);
    free(mine.scores);
    if (status != RUBATO_OK) {
        free(*out);
        *out = NULL;
    }
    return costs_end(costs, status);
}

rubato_status rubato_fill_target(const rubato_model *model, const char *text, int32_t *id, int *exact,
                                 rubato_error *error) {
    const rubato_input input = {.text = text};
    const rubato_text_options options = {.size = sizeof options, .no_special = 1, .whole = 1};
    rubato_encoding *encoding;
    *id = tokenizer_id(model->text, text);
    *exact = *id >= 0;
    if (*exact) return RUBATO_OK;
    TRY(rubato_encode(model, &input, &options, &encoding, error));
    if (encoding->windows[0].length) *id = encoding->windows[0].ids[0];
    rubato_encoding_destroy(encoding);
    return RUBATO_OK;
}

/* Adds a token as it reads within running text: without the mark of a continuation, or a space at its beginning. */
static void add_plain(const tokenizer *text, int32_t id, text_buffer *out) {
    tokenizer_add_plain(text, id, out);
    size_t mark = 0;
    if (text->model.kind == MODEL_WORDPIECE && out->length > 2 && strncmp(out->data, "##", 2) == 0) mark = 2;
    if (text->model.kind == MODEL_BPE && out->length && out->data[0] == ' ') mark = 1;
    if (mark == 0) return;
    out->length -= mark;
    memmove(out->data, out->data + mark, out->length + 1);
}

rubato_status rubato_fill_text(const rubato_model *model, const rubato_input *input, size_t mask, int32_t id,
                               char **text, rubato_error *error) {
    *text = NULL;
    TRY(engine_check_inputs(input, 1, error));
    if (id < 0 || (size_t)id >= model->text->vocabulary)
        return fail(error, RUBATO_BAD_ARGUMENT, "token id %d is not in the vocabulary", id);
    const char *name = rubato_token(model, model->text->mask, NULL);
    size_t size = input_size(input->text, input->text_bytes), length = name ? strlen(name) : 0;
    text_buffer out = {0};
    size_t seen = 0;
    for (size_t i = 0; i < size;) {
        if (length && size - i >= length && memcmp(input->text + i, name, length) == 0 && seen++ == mask) {
            text_buffer plain = {0};
            add_plain(model->text, id, &plain);
            /* a token with its own space replaces the space before the mask */
            if (plain.length && plain.data[0] == ' ' && out.length && out.data[out.length - 1] == ' ') out.length--;
            if (plain.length) text_add(&out, plain.data, plain.length);
            out.failed = out.failed || plain.failed;
            text_free(&plain);
            i += length;
        } else {
            text_add(&out, input->text + i++, 1);
        }
    }
    text_add(&out, "", 0);
    if (out.failed || !out.data) {
        text_free(&out);
        return fail_memory(error);
    }
    *text = out.data;
    return RUBATO_OK;
}

/* ---- Hidden states and token scores ---- */

typedef struct states {
    float *out;
    size_t length, hidden;
} states;

static void copy_layer(void *user, const run *on, const sight *what) {
    states *mine = user;
    (void)on;
    for (size_t i = 0; i < what->rows.rows; i++)
        memcpy(mine->out + (what->layer * mine->length + (what->alive ? what->alive[i] : i)) * mine->hidden,
               tensor_row(what->rows, i), mine->hidden * sizeof(float));
}

rubato_status rubato_hidden_states(rubato_context *context, float **out, size_t *length, const rubato_input *input,
                                   const rubato_options *options, rubato_error *error) {
    const encoder *body = &context->model->body;
    rubato_options own;
    rubato_text_options text;
    const rubato_encoding *encoding;
    *out = NULL;
    rubato_status status;
    TRY(engine_options(context->model, RUBATO_FOR_TOKENS, options, &own, &text, error));
    TRY(engine_encode(context->model, input, &text, &context->workers[0].text, &encoding, error));
    const rubato_window *window = &encoding->windows[0];
    states mine = {.length = window->length, .hidden = config_width(&body->config)};
    size_t start[2] = {0, window->length};
    batch packed = {1, window->length, start, window->ids, window->types};
    rubato_status passed = RUBATO_OK;
    const watcher watch = {WATCH_STATE, copy_layer, &mine};
    run on = context_run(context, &passed);
    on.watch = &watch;
    encoded result;
    mine.out = calloc((body->depth + 1) * (window->length + 1) * mine.hidden, sizeof(float));
    if (!mine.out) {
        status = fail_memory(error);
        goto done;
    }
    encoder_forward(body, &on, &packed, NULL, &result);
    status = run_result(&on, error);
    arena_reset(on.memory);
    if (status == RUBATO_OK) {
        *out = mine.out;
        *length = window->length;
        mine.out = NULL;
    }
done:
    free(mine.out);
    engine_encoding_free(input, encoding);
    return status;
}

rubato_status rubato_token_logits(rubato_context *context, float **out, size_t *length, size_t *columns,
                                  const rubato_input *input, const rubato_options *options, rubato_error *error) {
    *out = NULL;
    rubato_options own;
    rubato_text_options text;
    TRY(engine_options(context->model, RUBATO_FOR_TOKENS, options, &own, &text, error));
    head_kind kind = HEAD_TOKEN;
    if (context->model->info.task == RUBATO_TASK_QA) kind = HEAD_QA;
    if (context->model->info.task == RUBATO_TASK_MLM || context->model->info.task == RUBATO_TASK_LM) kind = HEAD_MLM;
    token_scores scores;
    rubato_status status = token_scores_run(&scores, context, kind, input, 1, &own, &text, NULL, error);
    if (status == RUBATO_OK) {
        *length = scores.work.encodings[0]->windows[0].length;
        *columns = scores.columns;
        *out = malloc((*length * *columns + 1) * sizeof **out);
        if (*out)
            memcpy(*out, scores.windows[0][0], *length * *columns * sizeof **out);
        else
            status = fail_memory(error);
    }
    token_scores_free(&scores);
    return status;
}
