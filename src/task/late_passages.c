/* Passages that are pooled from the states of a whole text. Its windows run on several threads. Each of them adds up
 * the rows of its passages by itself; the sums of a passage are joined in the order of the windows, so that its vector
 * does not depend on the threads. */
#include "task/late_passages.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/input.h"
#include "base/utf8.h"
#include "text/unicode.h"

/* The rows of a window, and the passages to which they belong. */
typedef struct late_window {
    uint32_t *owner;     /* [length] the passage of each row; NOBODY: none, or the row of another window counts */
    size_t first, count; /* the passages of its rows */
    float *sums;         /* [count, modes * hidden] */
    uint32_t *rows;      /* [count] rows of each */
} late_window;

#define NOBODY UINT32_MAX

struct late_text {
    late_window *windows;
    size_t window_count;
};

static size_t pooled_width(const rubato_model *model) {
    return model->pool.modes.count * config_width(&model->body.config);
}

/* ---- Places ---- */

/* Moves the places of tokens from the prepared text to the caller's, and leaves out tokens of the prompt. Preparing has
 * put the prompt before the text, made lower case of both, and taken white space off both ends. */
static rubato_status move_places(const late_passages *self, size_t input, const pointed_text *text, text_token *tokens,
                                 size_t *count, rubato_error *error) {
    const rubato_input *prepared = &self->prepared.use[input];
    if (!self->prepared.made) return RUBATO_OK;
    const size_t points = utf8_count(prepared->text, input_size(prepared->text, prepared->text_bytes));
    size_t *back =
        calloc(points + 1, sizeof *back); /* of each prepared code point: the text's, from 1; 0: the prompt's */
    if (!back) return fail_memory(error);
    const char *const parts[] = {self->prompt ? self->prompt : "", text->text};
    const size_t sizes[] = {strlen(parts[0]), text->bytes[text->points]};
    size_t at = 0, place = 0;
    bool leading = true;
    for (size_t part = 0; part < 2; part++)
        for (size_t i = 0; i < sizes[part];) {
            uint32_t code, lower[3];
            i += utf8_next((const unsigned char *)parts[part] + i, &code);
            place += part;
            leading = leading && engine_is_space(code);
            const size_t made = self->model->lowercase ? character_lower(code, lower) : 1;
            for (size_t j = 0; !leading && j < made && at < points; j++) back[at++] = place;
        }
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        text_token one = tokens[i];
        const size_t start = size_min(one.at.start, at), end = size_min(one.at.end, at);
        if (end == 0 || back[end - 1] == 0) continue;
        one.at.end = back[end - 1];
        one.at.start = start < end && back[start] ? back[start] - 1 : 0;
        tokens[kept++] = one;
    }
    *count = kept;
    free(back);
    return RUBATO_OK;
}

/* ---- Owners ---- */

/* One block for a text: its windows, then what each of them has. */
static rubato_status make_windows(late_text *out, const rubato_encoding *encoding, rubato_error *error) {
    size_t rows = 0;
    for (size_t i = 0; i < encoding->count; i++) rows += encoding->windows[i].length;
    out->windows = calloc(1, encoding->count * sizeof *out->windows + rows * sizeof *out->windows->owner);
    if (!out->windows) return fail_memory(error);
    out->window_count = encoding->count;
    uint32_t *at = (uint32_t *)(void *)(out->windows + encoding->count);
    for (size_t i = 0; i < rows; i++) at[i] = NOBODY;
    for (size_t i = 0; i < encoding->count; i++) {
        out->windows[i].owner = at;
        at += encoding->windows[i].length;
    }
    return RUBATO_OK;
}

static void give_owners(const late_passages *self, late_text *text, const rubato_encoding *encoding,
                        const text_token *tokens, const passage_list *list) {
    size_t next = 0;
    for (size_t i = 0; i < list->count; i++)
        for (; next < list->ends[i]; next++) text->windows[tokens[next].window].owner[tokens[next].row] = (uint32_t)i;
    const text_token *first = &tokens[0], *last = &tokens[next - 1];
    for (size_t row = self->skip; row < first->row; row++) text->windows[first->window].owner[row] = 0;
    for (size_t row = last->row + 1; row < encoding->windows[last->window].length; row++)
        text->windows[last->window].owner[row] = (uint32_t)(list->count - 1);
}

/* Room for the sums of a window's passages, which stand side by side. */
static rubato_status make_sums(const late_passages *self, late_window *window, size_t length, rubato_error *error) {
    size_t first = SIZE_MAX, last = 0;
    for (size_t i = 0; i < length; i++) {
        if (window->owner[i] == NOBODY) continue;
        first = size_min(first, window->owner[i]);
        last = size_max(last, window->owner[i]);
    }
    if (first == SIZE_MAX) return RUBATO_OK;
    window->first = first;
    window->count = last + 1 - first;
    window->sums = calloc(window->count, pooled_width(self->model) * sizeof *window->sums + sizeof *window->rows);
    if (!window->sums) return fail_memory(error);
    window->rows = (uint32_t *)(void *)(window->sums + window->count * pooled_width(self->model));
    return RUBATO_OK;
}

static rubato_status prepare(void *user, size_t input, const rubato_encoding *encoding, rubato_error *error) {
    late_passages *self = user;
    late_text *out = &self->texts[input];
    size_t most = 0, count;
    rubato_status status = RUBATO_OK;
    for (size_t i = 0; i < encoding->count; i++) most += encoding->windows[i].length;
    text_token *tokens = calloc(most + 1, sizeof *tokens);
    pointed_text text = pointed_text_create(&self->inputs[input]);
    if (!tokens || !text.bytes) status = fail_memory(error);
    if (status != RUBATO_OK) goto done;
    count = text_tokens_list(encoding, tokens);
    TRY_DONE(move_places(self, input, &text, tokens, &count, error));
    TRY_DONE(passage_list_create(&self->lists[input], &text, tokens, count, self->most, error));
    if (self->lists[input].count == 0) goto done;
    TRY_DONE(make_windows(out, encoding, error));
    give_owners(self, out, encoding, tokens, &self->lists[input]);
    for (size_t i = 0; i < encoding->count; i++)
        TRY_DONE(make_sums(self, &out->windows[i], encoding->windows[i].length, error));
done:
    free(tokens);
    free(text.bytes);
    return status;
}

/* ---- Sums ---- */

static rubato_status take(void *user, const run *on, const encoded *out, const exit_session *left, const unit *units,
                          rubato_error *error) {
    const late_passages *self = user;
    const size_t hidden = config_width(&self->model->body.config), width = pooled_width(self->model);
    (void)left;
    TRY(run_result(on, error));
    for (size_t i = 0; i < out->packed.sequences; i++) {
        const late_text *text = &self->texts[units[i].input];
        if (!text->windows) continue;
        late_window *window = &text->windows[units[i].number];
        for (size_t row = out->packed.start[i]; row < out->packed.start[i + 1]; row++) {
            const uint32_t owner = window->owner[row - out->packed.start[i]];
            if (owner == NOBODY) continue;
            const size_t at = owner - window->first;
            pooling_add_row(&self->model->pool, window->sums + at * width, tensor_row(out->rows, row), hidden,
                            window->rows[at]++);
        }
    }
    return RUBATO_OK;
}

rubato_status late_passages_run(late_passages *self, rubato_context *context, size_t count,
                                const rubato_options *options, const rubato_text_options *text, rubato_costs **costs,
                                rubato_error *error) {
    self->count = count;
    self->texts = calloc(count + 1, sizeof *self->texts);
    self->lists = calloc(count + 1, sizeof *self->lists);
    if (!self->texts || !self->lists) return fail_memory(error);
    TRY(prepared_inputs_create(&self->prepared, self->model, self->prompt, self->inputs, count, error));
    job work = {.inputs = self->prepared.use,
                .count = count,
                .options = options,
                .text = *text,
                .head = HEAD_COUNT,
                .take = take,
                .user = self,
                .costs = costs,
                .prepare = prepare};
    return engine_run(context, &work, error);
}

/* ---- Vectors ---- */

/* out [passages, modes * hidden] = what the modes give for each passage of a text. counts: as many numbers of room. */
static void join_windows(const late_passages *self, size_t input, float *out, size_t *counts) {
    const late_text *text = &self->texts[input];
    const pooling *pool = &self->model->pool;
    const size_t hidden = config_width(&self->model->body.config), width = pooled_width(self->model);
    memset(counts, 0, self->lists[input].count * sizeof *counts);
    for (size_t w = 0; w < text->window_count; w++) {
        const late_window *window = &text->windows[w];
        for (size_t i = 0; i < window->count; i++) {
            size_t *count = &counts[window->first + i];
            if (window->rows[i])
                pooling_add_part(pool, out + (window->first + i) * width, window->sums + i * width, hidden, *count);
            *count += window->rows[i];
        }
    }
    for (size_t i = 0; i < self->lists[input].count; i++) pooling_end_part(pool, out + i * width, hidden, counts[i]);
}

enum { TOGETHER = 512 }; /* passages that go through the stages together */

static rubato_status run_stages(const late_passages *self, rubato_context *context, const float *pooled, size_t count,
                                float *out, rubato_error *error) {
    const size_t width = pooled_width(self->model), columns = self->model->pool.width;
    for (size_t first = 0; first < count; first += TOGETHER) {
        rubato_status passed = RUBATO_OK;
        const run on = context_run(context, &passed);
        const size_t rows = size_min(TOGETHER, count - first);
        tensor in = run_tensor(&on, rows, width);
        for (size_t i = 0; in.data && i < rows; i++)
            memcpy(tensor_row(in, i), pooled + (first + i) * width, width * sizeof *pooled);
        const tensor made = pooling_stages(&self->model->pool, &on, in);
        const rubato_status status = run_result(&on, error);
        for (size_t i = 0; status == RUBATO_OK && i < rows; i++)
            memcpy(out + (first + i) * columns, tensor_row(made, i), columns * sizeof *out);
        arena_reset(on.memory);
        TRY(status);
    }
    return RUBATO_OK;
}

rubato_status late_passages_vectors(const late_passages *self, rubato_context *context, float *out,
                                    rubato_error *error) {
    rubato_status status = RUBATO_OK;
    for (size_t i = 0; i < self->count && status == RUBATO_OK; i++) {
        const size_t count = self->lists[i].count;
        float *pooled = calloc(count + 1, pooled_width(self->model) * sizeof *pooled);
        size_t *counts = calloc(count + 1, sizeof *counts);
        if (!pooled || !counts) status = fail_memory(error);
        if (status == RUBATO_OK) join_windows(self, i, pooled, counts);
        if (status == RUBATO_OK) status = run_stages(self, context, pooled, count, out, error);
        free(pooled);
        free(counts);
        out += count * self->model->pool.width;
    }
    return status;
}

void late_passages_free(late_passages *self) {
    for (size_t i = 0; self->texts && i < self->count; i++) {
        for (size_t w = 0; w < self->texts[i].window_count; w++) free(self->texts[i].windows[w].sums);
        free(self->texts[i].windows);
    }
    for (size_t i = 0; self->lists && i < self->count; i++) passage_list_free(&self->lists[i]);
    free(self->texts);
    free(self->lists);
    prepared_inputs_free(&self->prepared);
}
