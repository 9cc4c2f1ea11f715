/* One step. */
#include "train/step.h"

#include <math.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/random.h"
#include "task/context.h"
#include "task/job.h"

enum { MICRO_TOKENS = 8192 };

typedef struct stepping {
    trainer *self;
    const sample *const *samples;
    size_t count, items, rows; /* items and rows: of all workers */
    const lesson *lessons;
    size_t lesson_count;
    unsigned observes, compares; /* the tensors that all lessons read */
    bool asks;                   /* a lesson reads the teacher's answers */
    pass passes[MOST_PASSES];
    size_t pass_count;
    uint64_t mask_key, dropout_key;
    step_report *out;
} stepping;

static size_t sample_rows(const sample *s) {
    return s->window->length + (s->pair ? s->pair->length : 0);
}

int32_t *passing_labels(const passing *self, size_t number) {
    const portion *part = self->part;
    if (!self->left_after) return part->labels;
    int32_t *labels = run_take(self->on, size_max(part->packed.rows, 1), sizeof *labels);
    for (size_t row = 0; labels && row < part->packed.rows; row++)
        labels[row] = self->left_after[row] >= number ? part->labels[row] : -1;
    return labels;
}

/* Lists the phase's lessons, and the tensors that they read. */
static void list_lessons(stepping *s) {
    static const lesson answers = {.kind = &lesson_answers, .weight = 1};
    const phase *now = s->self->now;
    s->lessons = now->lesson_count ? now->lessons : &answers;
    s->lesson_count = now->lesson_count ? now->lesson_count : 1;
    for (size_t i = 0; i < s->lesson_count; i++) {
        if (s->lessons[i].weight == 0) continue;
        s->observes |= s->lessons[i].kind->observes;
        s->compares |= s->lessons[i].kind->compares;
        s->asks = s->asks || s->lessons[i].kind->asks;
    }
}

static rubato_status run_pass(const stepping *s, const portion *part, size_t number, reference *kept,
                              const observed *taught, size_t offset, rubato_error *error) {
    trainer *self = s->self;
    const phase *now = self->now;
    const pass *what = &s->passes[number];
    tape recording = {.key = random_hash(s->dropout_key + random_hash(number * 1000003 + offset)),
                      .hidden_rate = self->model->body.config.hidden_dropout,
                      .attention_rate = self->model->body.config.attention_dropout};
    rubato_status done = RUBATO_OK;
    const run on = trainer_on(self, &done, &recording), plain = trainer_on(self, &done, NULL);
    const bool first = number == 0, frozen = (now->frozen & group_bit(GROUP_BODY)) != 0;
    passing at = {.by = self,
                  .what = what,
                  .number = number,
                  .part = part,
                  .key = s->mask_key,
                  .on = &on,
                  .plain = &plain,
                  .body = &self->model->body,
                  .thin = engine_thinning(self->model, engine_main_head(self->model),
                                          point_is_full(&what->at) ? NULL : &what->at),
                  .ran = frozen ? &plain : &on,
                  .taught = taught,
                  .follow = what->follows || self->teacher ? kept : NULL,
                  .keep = first && !self->teacher && s->pass_count > 1 ? kept : NULL,
                  .scale = 1.0 / ((double)size_max(s->items, 1) * (double)s->pass_count),
                  .row_scale = 1.0 / ((double)size_max(s->rows, 1) * (double)s->pass_count)};
    at.thin.seed = s->mask_key;
    if (now->before_pass) TRY(now->before_pass(now->user, &at, error));
    observe_forward(at.body, at.ran, &on, &at.part->packed, &at.thin, s->observes, &at.seen, &at.out);
    TRY(encoder_result(at.body, &on, &at.thin, error));
    double loss = at.loss;
    for (size_t i = 0; i < s->lesson_count; i++)
        if (s->lessons[i].weight > 0) loss += s->lessons[i].kind->loss(&s->lessons[i], &at);
    tape_backward(&on);
    TRY(run_result(&on, error));
    *(first ? &s->out->loss : &s->out->follow_loss) += loss / (double)size_max(s->items, 1);
    return RUBATO_OK;
}

/* Runs the teacher and all passes over some of the samples, which are packed once. */
static rubato_status run_passes(const stepping *s, size_t first, size_t count, reference *kept, rubato_error *error) {
    trainer *self = s->self;
    rubato_status done = RUBATO_OK;
    const run on = trainer_on(self, &done, NULL);
    observed taught = {0};
    portion part;
    if (!portion_create(&part, self, s->samples + first, count, s->mask_key, &self->memory)) return fail_memory(error);
    if (self->teacher) portion_teach(self, &on, &part, s->compares, &taught, s->asks ? kept : NULL);
    TRY(run_result(&on, error));
    arena_mark mark = arena_save(&self->memory);
    for (size_t number = 0; number < s->pass_count && part.items > 0; number++) {
        arena_rewind(&self->memory, mark);
        TRY(run_pass(s, &part, number, kept, &taught, first, error));
    }
    return RUBATO_OK;
}

/* Runs all passes over the samples, in parts that fit. */
static rubato_status run_parts(const stepping *s, rubato_error *error) {
    trainer *self = s->self;
    size_t most = self->options->micro_tokens ? self->options->micro_tokens : MICRO_TOKENS;
    reference kept = {0};
    rubato_status status = RUBATO_OK;
    for (size_t first = 0; first < s->count && status == RUBATO_OK;) {
        size_t last = first, rows = 0;
        while (last < s->count && (last == first || rows + sample_rows(s->samples[last]) <= most))
            rows += sample_rows(s->samples[last++]);
        if (self->kind == SAMPLE_CONTRAST) last = s->count; /* every pair is a negative for every other pair */
        status = run_passes(s, first, last - first, &kept, error);
        arena_reset(&self->memory);
        first = last;
    }
    free(kept.values);
    return status;
}

/* Counts the items and rows of the step, over all workers. */
static rubato_status count_items(stepping *s, rubato_error *error) {
    trainer *self = s->self;
    portion whole;
    bool ok = portion_create(&whole, self, s->samples, s->count, s->mask_key, &self->memory);
    arena_reset(&self->memory);
    if (!ok) return fail_memory(error);
    s->items = whole.items;
    s->rows = whole.packed.rows;
    if (!self->exchange) return RUBATO_OK;
    float counts[] = {(float)whole.items, (float)whole.packed.rows};
    TRY(self->exchange->sum(self->exchange->user, &(gradient_span){counts, 2}, 1, error));
    s->items = (size_t)counts[0];
    s->rows = (size_t)counts[1];
    return RUBATO_OK;
}

/* Computes the gradients of the step's samples and completes them (parameters_gather). */
static rubato_status make_gradients(stepping *s, const size_t *order, rubato_error *error) {
    trainer *self = s->self;
    size_t first = self->step % trainer_epoch_steps(self) * self->batch;
    uint64_t state = trainer_seed(self, 2, self->step);
    arena_reset(&self->drawn);
    const sample **chosen = arena_take_array(&self->drawn, self->batch, sizeof *chosen);
    if (!chosen) return fail_memory(error);
    for (; s->count < self->batch && first + s->count < self->data.count; s->count++) {
        chosen[s->count] = samples_at(&self->data, order[first + s->count], &self->drawn);
        if (!chosen[s->count]) return fail_memory(error);
        s->out->rows += sample_rows(chosen[s->count]);
    }
    s->samples = chosen;
    s->out->passes = s->pass_count = self->now->passes(self, &state, s->passes);
    TRY(count_items(s, error));
    TRY(run_parts(s, error));
    return parameters_gather(&self->params, self->exchange, error);
}

rubato_status trainer_step(trainer *self, const size_t *order, size_t steps, step_report *out, rubato_error *error) {
    const phase *now = self->now;
    team *crew = self->context->crew;
    const kernel_table *kernels = self->context->kernels;
    gradient_norms norms;
    *out = (step_report){0};
    stepping s = {.self = self,
                  .mask_key = trainer_seed(self, 3, self->step),
                  .dropout_key = trainer_seed(self, 4, self->step),
                  .out = out};
    list_lessons(&s);
    TRY(make_gradients(&s, order, error));
    if (now->after_gradients) TRY(now->after_gradients(now->user, self, error));
    TRY(parameters_norms(&self->params, &norms, crew, kernels, error));
    if (!norms.finite || !isfinite(out->loss))
        return fail(error, RUBATO_BAD_MODEL, "step %zu: the loss or its gradient is not a number; try a smaller --rate",
                    self->step + 1);
    parameters_step(&self->params, &self->rule, &norms, self->step, steps, crew, kernels);
    return now->after_step ? now->after_step(now->user, self, error) : RUBATO_OK;
}
