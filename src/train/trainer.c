/* The training loop. */
#include "train/self_sampling.h"
#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/text_buffer.h"
#include "task/job.h"
#include "task/save.h"

enum { MICRO_TOKENS = 8192 };

size_t trainer_epoch_steps(const trainer *self) {
    return divide_up(self->data.count, self->batch);
}

static size_t phase_steps(const trainer *self, const phase *what) {
    return size_max(1, (size_t)ceil(what->epochs * (double)trainer_epoch_steps(self) - 1e-9));
}

/* A seed for one use at one place of the run: nothing depends on what was drawn before. */
static uint64_t seed_of(const trainer *self, uint64_t use, uint64_t number) {
    return random_hash(self->options->seed + random_hash(use * 0x10001 + self->phase_number) + random_hash(~number));
}

/* The order of an epoch: Fisher and Yates. */
static void shuffle(const trainer *self, size_t epoch, size_t *order) {
    uint64_t state = seed_of(self, 1, epoch);
    for (size_t i = 0; i < self->data.count; i++) order[i] = i;
    if (self->options->keep_order) return;
    for (size_t i = self->data.count; i > 1; i--) {
        size_t j = random_below(&state, i), swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
}

/* Linear warm-up, then linearly to zero. */
static double rate_at(const trainer *self, size_t step, size_t steps) {
    double warm = self->warm_up * (double)steps, at = (double)step;
    double share = at < warm ? (at + 1) / fmax(warm, 1) : ((double)steps - at) / fmax((double)steps - warm, 1);
    return self->rate * fmin(share, 1);
}

/* ---- One step ---- */

typedef struct stepping {
    trainer *self;
    const sample *const *samples;
    size_t count, rows, items;
    pass passes[MOST_PASSES];
    size_t pass_count;
    uint64_t mask_key, dropout_key;
    double loss; /* of the first pass, the mean over items */
    double follow_loss;
} stepping;

static size_t sample_rows(const sample *s) {
    return s->window->length + (s->pair ? s->pair->length : 0);
}

/* The factors of soft extraction; NULL in phases without it. */
static const parameter *soft_factors(const trainer *self) {
    return self->now->soft == SIZE_MAX ? NULL : &self->params.items[self->now->soft];
}

/* Labels of the rows that ran to the end; NULL when memory is short. */
static int32_t *halted_labels(const run *on, const portion *part, const sampled_halts *halts, size_t depth) {
    int32_t *labels = run_take(on, size_max(part->packed.rows, 1), sizeof *labels);
    for (size_t row = 0; labels && row < part->packed.rows; row++)
        labels[row] = halts->left_after[row] >= depth ? part->labels[row] : -1;
    return labels;
}

static rubato_status run_pass(stepping *s, const portion *part, size_t number, reference *kept, size_t offset,
                              rubato_error *error) {
    trainer *self = s->self;
    tape recording = {.key = random_hash(s->dropout_key + random_hash(number * 1000003 + offset)),
                      .hidden_rate = self->model->body.config.hidden_dropout,
                      .attention_rate = self->model->body.config.attention_dropout};
    rubato_status done = RUBATO_OK;
    run on = {.kernels = self->context->kernels,
              .crew = self->context->crew,
              .memory = &self->memory,
              .status = &done,
              .tape = &recording};
    const pass *what = &s->passes[number];
    thinning how =
        engine_thinning(self->model, engine_main_head(self->model), point_is_full(&what->at) ? NULL : &what->at);
    how.seed = s->mask_key;
    soft_extraction soft;
    const parameter *factors = soft_factors(self);
    if (factors) {
        soft = (soft_extraction){factors->value, factors->gradient, factors->count / self->model->body.depth};
        how.soft = &soft;
    }
    encoded out;
    const exit_lesson *lesson = self->now->exits;
    bool frozen = lesson && lesson->frozen;
    passed_layers layers = {.on = frozen ? &on : NULL};
    run plain = on, *body = frozen ? &plain : &on;
    plain.tape = NULL;
    sampled_halts halts;
    portion active = *part;
    if (lesson && lesson->sampler) {
        if (!halts_sample(&halts, lesson->sampler, &plain, &part->packed, s->mask_key) ||
            !(active.labels = halted_labels(&on, part, &halts, self->model->body.depth)))
            return fail_memory(error);
        how.depart = halts_apply;
        how.depart_user = &halts;
        how.depart_rows = true;
        layers.left_after = halts.left_after;
    }
    bool looks = lesson || self->now->match_states > 0;
    const watcher watch = {WATCH_STATE, pass_layer, &layers};
    run watched = *body;
    if (looks) watched.watch = &watch;
    encoder_forward(&self->model->body, &watched, &part->packed, &how, &out);
    TRY(run_result(&on, error));
    double scale = 1.0 / ((double)size_max(s->items, 1) * (double)s->pass_count);
    bool first = number == 0, taught = self->teacher != NULL;
    /* a pupil's first pass learns soft labels (Hinton et al. 2015); what follows it as the options say */
    divergence form = self->options->divergence_from_full || self->now->from_full || first ? DIVERGENCE_FROM_FULL
                                                                                           : DIVERGENCE_FROM_SUB;
    const reference *follow = what->follows || taught ? kept : NULL;
    bool adaptive = lesson && self->model->exits.kind == EXIT_HALTING;
    double loss = 0;
    if (!frozen && !adaptive)
        loss = portion_loss(self, &on, &out, &active, follow, form, first && !taught && s->pass_count > 1 ? kept : NULL,
                            scale * (lesson ? lesson->final : 1)) *
               (lesson ? lesson->final : 1);
    if (lesson) {
        reference said = {0};
        if (lesson->from_final && !follow) TRY(portion_answers(self, body, &out, part, &said, error));
        loss += exits_loss(self, &on, &layers, part, follow || !lesson->from_final ? follow : &said, lesson, scale);
        free(said.values);
    }
    if (self->now->match_states > 0) /* as much as the part's share of the step's items */
        loss += states_loss(self, &on, &layers, &what->at, part->packed.rows, kept,
                            self->now->match_states * scale * (double)part->items) /
                fmax(scale, 1e-30);
    tape_backward(&on);
    TRY(run_result(&on, error));
    *(first ? &s->loss : &s->follow_loss) += loss / (double)size_max(s->items, 1);
    return RUBATO_OK;
}

/* The teacher and all passes over some of the samples, laid out once. */
static rubato_status run_passes(stepping *s, size_t first, size_t count, reference *kept, rubato_error *error) {
    trainer *self = s->self;
    rubato_status done = RUBATO_OK;
    run on = {.kernels = self->context->kernels, .crew = self->context->crew, .memory = &self->memory, .status = &done};
    portion part;
    if (!portion_create(&part, self, s->samples + first, count, s->mask_key, &self->memory)) return fail_memory(error);
    arena_mark mark = arena_save(&self->memory);
    if (self->teacher && !portion_teach(self, &on, &part, kept)) return fail_memory(error);
    for (size_t number = 0; number < s->pass_count && part.items > 0; number++) {
        arena_rewind(&self->memory, mark);
        TRY(run_pass(s, &part, number, kept, first, error));
    }
    return RUBATO_OK;
}

/* All passes over the samples, in parts that fit. */
static rubato_status run_parts(stepping *s, rubato_error *error) {
    trainer *self = s->self;
    size_t most = self->options->micro_tokens ? self->options->micro_tokens : MICRO_TOKENS;
    reference kept = {0};
    rubato_status status = RUBATO_OK;
    for (size_t first = 0; first < s->count && status == RUBATO_OK;) {
        size_t last = first, rows = 0;
        while (last < s->count && (last == first || rows + sample_rows(s->samples[last]) <= most))
            rows += sample_rows(s->samples[last++]);
        if (self->kind == SAMPLE_CONTRAST) last = s->count; /* every pair is every other's negative */
        status = run_passes(s, first, last - first, &kept, error);
        arena_reset(&self->memory);
        first = last;
    }
    free(kept.values);
    free(kept.states);
    return status;
}

/* The regulariser of soft extraction: lambda * sum over layers j (from 1) of j * sum |r_j|, with r in [0, 1]. */
static void penalize(trainer *self) {
    const parameter *factors = soft_factors(self);
    if (!factors) return;
    size_t bins = factors->count / self->model->body.depth;
    for (size_t i = 0; i < factors->count; i++)
        if (factors->value[i] > 0) factors->gradient[i] += (float)(self->now->soft_penalty * (double)(i / bins + 1));
}

/* The factors have a rate of their own, and stay in [0, 1]. */
static void step_factors(trainer *self, const float *before, double ratio) {
    const parameter *factors = soft_factors(self);
    if (!factors) return;
    for (size_t i = 0; i < factors->count; i++) {
        float moved = before[i] + (float)ratio * (factors->value[i] - before[i]);
        factors->value[i] = fminf(fmaxf(moved, 0), 1);
    }
}

static rubato_status one_step(trainer *self, const size_t *order, size_t steps, stepping *s, rubato_error *error) {
    size_t epoch_steps = trainer_epoch_steps(self), at = self->step % epoch_steps * self->batch;
    uint64_t state = seed_of(self, 2, self->step);
    const sample **chosen = malloc(self->batch * sizeof *chosen);
    if (!chosen) return fail_memory(error);
    *s = (stepping){.self = self,
                    .samples = chosen,
                    .mask_key = seed_of(self, 3, self->step),
                    .dropout_key = seed_of(self, 4, self->step)};
    for (; s->count < self->batch && at + s->count < self->data.count; s->count++) {
        chosen[s->count] = &self->data.items[order[at + s->count]];
        s->rows += sample_rows(chosen[s->count]);
    }
    s->pass_count = self->now->passes(self, &state, s->passes);
    portion whole;
    rubato_status status = RUBATO_OK;
    if (portion_create(&whole, self, chosen, s->count, s->mask_key, &self->memory))
        s->items = whole.items;
    else
        status = fail_memory(error);
    arena_reset(&self->memory);
    if (status == RUBATO_OK) status = run_parts(s, error);
    free(chosen);
    TRY(status);
    penalize(self);
    double length = parameters_gradient_norm(&self->params, self->context->crew, self->context->kernels);
    if (!isfinite(length) || !isfinite(s->loss))
        return fail(error, RUBATO_BAD_MODEL, "step %zu: the loss or its gradient is not a number; try a smaller --rate",
                    self->step + 1);
    step_rule rule = {.rate = rate_at(self, self->step, steps),
                      .decay = self->decay,
                      .beta1 = 0.9,
                      .beta2 = 0.999,
                      .epsilon = 1e-8,
                      .gradient_scale = self->clip > 0 && length > self->clip ? self->clip / (length + 1e-6) : 1,
                      .number = self->step + 1};
    float *before = NULL;
    const parameter *factors = soft_factors(self);
    if (factors) {
        before = malloc(factors->count * sizeof *before);
        if (!before) return fail_memory(error);
        memcpy(before, factors->value, factors->count * sizeof *before);
    }
    parameters_step(&self->params, &rule, self->context->crew, self->context->kernels);
    step_factors(self, before, self->now->soft_rate / self->rate);
    free(before);
    return RUBATO_OK;
}

/* ---- Judging ---- */

static double metric_named(const rubato_evaluation *e, const char *name) {
    for (size_t i = 0; i < e->metric_count; i++)
        if (strcmp(e->metrics[i].name, name) == 0) return e->metrics[i].value;
    return NAN;
}

const char *trainer_metric(const trainer *self) {
    switch (self->kind) {
    case SAMPLE_CLASS: return "accuracy";
    case SAMPLE_TAGS:
    case SAMPLE_SPAN: return "f1";
    case SAMPLE_MASKED: return "perplexity";
    case SAMPLE_VALUE:
    case SAMPLE_COSINE:
    case SAMPLE_CONTRAST: break;
    }
    return "spearman";
}

/* The dev set at a point (NULL: full). */
static rubato_status judge_at(trainer *self, const point *at, double *value, rubato_error *error) {
    rubato_eval_options options = {.task = self->kind == SAMPLE_CONTRAST ? "sts" : self->options->task,
                                   .data = self->options->dev,
                                   .columns = self->options->columns,
                                   .seed = self->options->seed,
                                   .run = {.text = {.max_length = self->options->max_length}}};
    rubato_evaluation result;
    self->context->force = at;
    rubato_status status = rubato_evaluate(self->context, &options, &result, error);
    self->context->force = NULL;
    *value = status == RUBATO_OK ? metric_named(&result, trainer_metric(self)) : NAN;
    return status;
}

static rubato_status judge(trainer *self, double *value, rubato_error *error) {
    const phase *now = self->now;
    double first, sum, other;
    text_buffer others = {0};
    rubato_status status = judge_at(self, now->judge, &first, error);
    sum = first;
    for (size_t i = 0; i < now->also_count && status == RUBATO_OK; i++) {
        status = judge_at(self, &now->also[i], &other, error);
        sum += other;
        text_add_format(&others, "%s%.6f", i ? ", " : "", other);
    }
    *value = sum / (double)(now->also_count + 1);
    if (status == RUBATO_OK && others.failed) status = fail_memory(error);
    if (status == RUBATO_OK && self->metrics) {
        fprintf(self->metrics, "{\"phase\": \"%s\", \"step\": %zu, \"%s\": %.6f", now->name, self->step,
                trainer_metric(self), first);
        if (others.data) fprintf(self->metrics, ", \"points\": [%s]", others.data);
        fprintf(self->metrics, "}\n");
        fflush(self->metrics);
    }
    text_free(&others);
    return status;
}

static bool is_better(const trainer *self, double value) {
    if (isnan(self->best)) return true;
    return self->kind == SAMPLE_MASKED ? value < self->best : value > self->best;
}

rubato_status trainer_save(const trainer *self, rubato_error *error) {
    storage type;
    TRY(model_store_type(self->options->store, &type, error));
    return model_save(self->model, self->options->out, type, self->notes, error);
}

static rubato_status judge_and_save(trainer *self, double *value, rubato_error *error) {
    TRY(judge(self, value, error));
    if (!is_better(self, *value)) return RUBATO_OK;
    self->best = *value;
    self->best_step = self->step;
    return trainer_save(self, error);
}

/* ---- The loop ---- */

static void write_metrics(const trainer *self, const stepping *s, double epoch, double rate, double speed) {
    if (!self->metrics) return;
    fprintf(self->metrics, "{\"phase\": \"%s\", \"step\": %zu, \"epoch\": %.4f, \"loss\": %.6f, ", self->now->name,
            self->step, epoch, s->loss);
    if (s->pass_count > 1)
        fprintf(self->metrics, "\"follow_loss\": %.6f, ", s->follow_loss / (double)(s->pass_count - 1));
    fprintf(self->metrics, "\"rate\": %.4g, \"tokens_per_second\": %.0f}\n", rate, speed);
    fflush(self->metrics);
}

rubato_status trainer_run(trainer *self, const phase *what, rubato_error *error) {
    size_t steps = phase_steps(self, what), epoch_steps = trainer_epoch_steps(self), shuffled = SIZE_MAX;
    size_t eval_steps = self->options->eval_steps ? self->options->eval_steps : divide_up(epoch_steps, 4);
    size_t save_steps = self->options->checkpoint_steps ? self->options->checkpoint_steps : eval_steps;
    size_t *order = malloc(self->data.count * sizeof *order);
    double value = NAN, smooth = NAN, begun = clock_ms(), seen = 0;
    if (!order) return fail_memory(error);
    rubato_status status = RUBATO_OK;
    self->now = what;
    self->params.frozen = what->exits && what->exits->frozen;
    self->step = self->resumed_step;
    self->resumed_step = 0;
    size_t first = self->step;
    while (self->step < steps && status == RUBATO_OK) {
        stepping s;
        size_t epoch = self->step / epoch_steps;
        if (epoch != shuffled) shuffle(self, shuffled = epoch, order);
        double rate = rate_at(self, self->step, steps);
        TRY_DONE(one_step(self, order, steps, &s, error));
        self->step++;
        self->tokens_done += (double)s.rows;
        seen += (double)s.rows;
        smooth = isnan(smooth) ? s.loss : 0.98 * smooth + 0.02 * s.loss;
        double seconds = (clock_ms() - begun) / 1e3;
        write_metrics(self, &s, (double)self->step / (double)epoch_steps, rate, seen / seconds);
        bool last = self->step == steps;
        if (self->options->dev && (last || self->step % eval_steps == 0)) TRY_DONE(judge_and_save(self, &value, error));
        if (!last && self->step % save_steps == 0) TRY_DONE(trainer_checkpoint(self, error));
        rubato_train_progress progress = {.phase = what->name,
                                          .step = self->step,
                                          .steps = steps,
                                          .epoch = (double)self->step / (double)epoch_steps,
                                          .loss = smooth,
                                          .rate = rate,
                                          .tokens_per_second = seen / seconds,
                                          .seconds = (clock_ms() - self->begun_ms) / 1e3,
                                          .metric = isnan(value) ? NULL : trainer_metric(self),
                                          .value = value,
                                          .best = self->best};
        progress.seconds_left = seconds / (double)(self->step - first) * (double)(steps - self->step);
        if (self->options->progress && self->options->progress(self->options->progress_user, &progress)) {
            TRY_DONE(trainer_checkpoint(self, error));
            status =
                fail(error, RUBATO_CANCELLED, "stopped after step %zu of %zu; --resume goes on", self->step, steps);
        }
    }
    if (status == RUBATO_OK && !self->options->dev) status = trainer_save(self, error);
done:
    free(order);
    return status;
}
