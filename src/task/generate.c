/* Continuing a text with a language model. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/options.h"
#include "base/order.h"
#include "base/random.h"
#include "base/text_buffer.h"
#include "task/encode.h"
#include "task/job.h"
#include "tensor/state.h"

enum { USUAL_TOKENS = 64 };

typedef struct generating {
    rubato_context *context;
    rubato_generate_options options;
    const head *head;
    int32_t *ids, *types; /* [most] the text so far; zeros */
    size_t count, prompt; /* tokens, and those of the prompt among them */
    size_t most;          /* tokens that the model takes */
    int32_t end;          /* the token that ends a text; -1: there is none */
    float *logits;        /* [vocabulary] */
    int32_t *best;        /* [vocabulary] room for tokens */
    run_state *state;     /* NULL: every token runs the whole text again */
    uint64_t random;
    char *begun;      /* the text of the prompt's tokens */
    text_buffer text; /* of the new tokens */
    size_t told;      /* bytes of it that the caller has seen */
} generating;

/* ---- The next token ---- */

/* Runs the tokens from `first` on, which is 0 without a state, and reads the head behind the last one. */
static rubato_status run_tokens(generating *self, size_t first, rubato_error *error) {
    rubato_context *context = self->context;
    const encoder *body = &context->model->body;
    const size_t rows = self->count - first, start[2] = {0, rows}, last = rows - 1;
    const batch packed = {1, rows, start, self->ids + first, self->types};
    rubato_status passed = RUBATO_OK;
    run on = context_run(context, &passed);
    encoded out;
    on.state = self->state;
    encoder_forward(body, &on, &packed, NULL, &out);
    const tensor logits = run_failed(&on) ? (tensor){0} : head_forward(self->head, &on, out.rows, &last, 1);
    const rubato_status status = encoder_result(body, &on, NULL, error);
    if (status == RUBATO_OK) memcpy(self->logits, logits.data, self->head->out.out * sizeof *self->logits);
    arena_reset(on.memory);
    return status;
}

/* The `count` most probable tokens, the best first. Of equal ones the smaller id. */
static void find_best(generating *self, size_t count) {
    size_t found = 0;
    for (size_t id = 0; id < self->head->out.out; id++) {
        const float own = self->logits[id];
        if (found == count && own <= self->logits[self->best[count - 1]]) continue;
        size_t at = found < count ? found++ : count - 1;
        for (; at > 0 && self->logits[self->best[at - 1]] < own; at--) self->best[at] = self->best[at - 1];
        self->best[at] = (int32_t)id;
    }
}

/* Draws among the best tokens with the probabilities of a softmax of logits / temperature. */
static int32_t draw(generating *self) {
    const rubato_generate_options *o = &self->options;
    const size_t all = self->head->out.out, count = o->top ? size_min(o->top, all) : all;
    const size_t largest = index_of_largest(self->logits, all);
    const double most = (double)self->logits[largest];
    double sum = 0, at;
    if (!(o->temperature > 0)) return (int32_t)largest;
    if (count < all)
        find_best(self, count);
    else /* in any order */
        for (size_t i = 0; i < all; i++) self->best[i] = (int32_t)i;
    for (size_t i = 0; i < count; i++) sum += exp(((double)self->logits[self->best[i]] - most) / o->temperature);
    at = random_real(&self->random) * sum;
    for (size_t i = 0; i + 1 < count; i++) {
        at -= exp(((double)self->logits[self->best[i]] - most) / o->temperature);
        if (at < 0) return self->best[i];
    }
    return self->best[count - 1];
}

/* ---- Text ---- */

/* Tells the caller what is certain of the new text: a later token may change the last character, or take the place of
 * white space before it. *stop: the caller wants no more. */
static rubato_status tell(generating *self, bool last, bool *stop, rubato_error *error) {
    char *text;
    TRY(rubato_decode(self->context->model, self->ids, self->count, 1, &text, error));
    const size_t prompt = strlen(self->begun), before = strncmp(text, self->begun, prompt) == 0 ? prompt : 0;
    const char *own = text + before;
    const size_t size = strlen(own);
    const bool goes_on = self->told <= size && strncmp(own, self->text.data ? self->text.data : "", self->told) == 0;
    const bool whole = last || !text_ends_with(own, "\xef\xbf\xbd");
    text_clear(&self->text);
    text_add(&self->text, own, size);
    const rubato_status status = self->text.failed ? fail_memory(error) : RUBATO_OK;
    if (status == RUBATO_OK && self->options.piece && goes_on && whole && size > self->told) {
        *stop = self->options.piece(self->options.user, own + self->told, size - self->told) != 0;
        self->told = size;
    }
    rubato_free(text);
    return status;
}

/* ---- The loop ---- */

static rubato_status begin(generating *self, const rubato_input *input, rubato_error *error) {
    const rubato_model *model = self->context->model;
    rubato_options own;
    rubato_text_options text;
    const rubato_encoding *encoding;
    TRY(engine_options(model, RUBATO_FOR_TOKENS, self->options.run, &own, &text, error));
    text.whole = 1;
    self->most = encoder_max_length(&model->body.config);
    TRY(engine_head(model, HEAD_MLM, &self->head, error));
    const size_t vocabulary = self->head->out.out;
    self->ids = calloc(self->most, sizeof *self->ids);
    self->types = calloc(self->most, sizeof *self->types);
    self->logits = calloc(vocabulary, sizeof *self->logits);
    self->best = calloc(vocabulary, sizeof *self->best);
    if (!self->ids || !self->types || !self->logits || !self->best) return fail_memory(error);
    TRY(engine_encode(model, input, &text, &self->context->workers[0].text, &encoding, error));
    const rubato_window *window = &encoding->windows[0];
    size_t count = window->length;
    self->end = count > 0 && window->sequences[count - 1] == UINT8_MAX ? window->ids[count - 1] : -1;
    /* special tokens behind the text end it; those before it do not */
    while (count > 1 && window->sequences[count - 1] == UINT8_MAX) count--;
    rubato_status status = RUBATO_OK;
    if (count == 0)
        status = fail(error, RUBATO_BAD_ARGUMENT, "the text has no tokens, special ones included");
    else if (count >= self->most)
        status = fail(error, RUBATO_BAD_ARGUMENT, "the text has %zu tokens, and the model takes %zu: none is left",
                      count, self->most);
    else
        memcpy(self->ids, window->ids, count * sizeof *self->ids);
    self->count = self->prompt = count;
    engine_encoding_free(input, encoding);
    return status;
}

static rubato_status go_on(generating *self, rubato_error *error) {
    const size_t wanted = self->options.tokens ? self->options.tokens : USUAL_TOKENS;
    const size_t limit = size_min(self->most, self->prompt + size_min(wanted, self->most));
    bool stop = false;
    TRY(rubato_decode(self->context->model, self->ids, self->prompt, 1, &self->begun, error));
    if (encoder_continues(&self->context->model->body))
        TRY(run_state_create(&self->state, self->context->model->body.depth, error));
    for (size_t first = 0; self->count < limit && !stop;) {
        TRY(run_tokens(self, first, error));
        TRY(engine_check(self->logits, self->head->out.out, error));
        const int32_t next = draw(self);
        if (next == self->end) break;
        first = self->state ? self->count : 0;
        self->ids[self->count++] = next;
        TRY(tell(self, false, &stop, error));
    }
    return tell(self, true, &stop, error);
}

rubato_status rubato_generate(rubato_context *context, char **text, size_t *tokens, const rubato_input *input,
                              const rubato_generate_options *options, rubato_error *error) {
    generating self = {.context = context};
    *text = NULL;
    if (tokens) *tokens = 0;
    TRY(OPTIONS_COPY(&self.options, rubato_generate_options, options, error));
    self.random = self.options.seed;
    TRY(engine_check_inputs(input, 1, error));
    if (context->model->info.task != RUBATO_TASK_LM)
        return fail(error, RUBATO_WRONG_TASK,
                    "%s: this is a model for %s; texts are continued by a language model, which train --task lm makes",
                    context->model->path, rubato_task_name(context->model->info.task));
    if (input->pair) return fail(error, RUBATO_BAD_ARGUMENT, "one text is continued; a pair is none");
    if (!(self.options.temperature >= 0))
        return fail(error, RUBATO_BAD_ARGUMENT, "a temperature of %g; it is 0 or more", self.options.temperature);
    rubato_status status = begin(&self, input, error);
    if (status == RUBATO_OK) status = go_on(&self, error);
    if (status == RUBATO_OK) {
        *text = text_copy(self.text.data ? self.text.data : "", self.text.length);
        if (tokens) *tokens = self.count - self.prompt;
        if (!*text) status = fail_memory(error);
    }
    run_state_destroy(self.state);
    free(self.ids);
    free(self.types);
    free(self.logits);
    free(self.best);
    rubato_free(self.begun);
    text_free(&self.text);
    return status;
}
