/* The training loop. */
#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/random.h"
#include "task/save.h"
#include "train/judge.h"
#include "train/step.h"

size_t trainer_epoch_steps(const trainer *self) {
    return divide_up(self->data.count, self->batch);
}

size_t trainer_phase_steps(const trainer *self, const phase *what) {
    if (self->options->steps) return self->options->steps;
    return size_max(1, (size_t)ceil(what->epochs * (double)trainer_epoch_steps(self) - 1e-9));
}

uint64_t trainer_seed(const trainer *self, uint64_t use, uint64_t number) {
    return random_hash(self->options->seed + random_hash(use * 0x10001 + self->phase_number) + random_hash(~number));
}

/* The order of an epoch: Fisher and Yates. */
static void shuffle(const trainer *self, size_t epoch, size_t *order) {
    uint64_t state = trainer_seed(self, 1, epoch);
    for (size_t i = 0; i < self->data.count; i++) order[i] = i;
    if (self->options->keep_order) return;
    for (size_t i = self->data.count; i > 1; i--) {
        size_t j = random_below(&state, i), swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
}

rubato_status trainer_save(const trainer *self, rubato_error *error) {
    storage type;
    TRY(model_store_type(self->options->store, &type, error));
    return model_save(self->model, self->options->out, type, self->notes, error);
}

static void write_metrics(const trainer *self, const step_report *s, double epoch, double rate, double speed) {
    if (!self->metrics) return;
    fprintf(self->metrics, "{\"phase\": \"%s\", \"step\": %zu, \"epoch\": %.4f, \"loss\": %.6f, ", self->now->name,
            self->step, epoch, s->loss);
    if (s->passes > 1) fprintf(self->metrics, "\"follow_loss\": %.6f, ", s->follow_loss / (double)(s->passes - 1));
    fprintf(self->metrics, "\"rate\": %.4g, \"tokens_per_second\": %.0f}\n", rate, speed);
    fflush(self->metrics);
}

typedef rubato_status finishing(trainer *self, double *value, rubato_error *error);

static rubato_status save_alone(trainer *self, double *value, rubato_error *error) {
    (void)value;
    return trainer_save(self, error);
}

/* Judges or writes the model as it will be when training ends. */
static rubato_status finished(trainer *self, const phase *what, finishing *work, double *value, rubato_error *error) {
    if (what->before_judge) TRY(what->before_judge(what->user, self, error));
    TRY(work(self, value, error));
    return what->after_judge ? what->after_judge(what->user, self, error) : RUBATO_OK;
}

rubato_status trainer_run(trainer *self, const phase *what, rubato_error *error) {
    size_t steps = trainer_phase_steps(self, what), epoch_steps = trainer_epoch_steps(self), shuffled = SIZE_MAX;
    size_t eval_steps = self->options->eval_steps ? self->options->eval_steps : divide_up(epoch_steps, 4);
    size_t save_steps = self->options->checkpoint_steps ? self->options->checkpoint_steps : eval_steps;
    const bool judges = self->options->dev && what->blind < 1;
    size_t *order = malloc(self->data.count * sizeof *order);
    double value = NAN, smooth = NAN, begun = clock_ms(), seen = 0;
    if (!order) return fail_memory(error);
    rubato_status status = RUBATO_OK;
    const step_rule usual = self->rule;
    self->now = what;
    if (what->rate > 0) self->rule.rate = what->rate;
    if (what->schedule) self->rule.schedule = what->schedule;
    for (size_t i = 0; i < self->params.group_count; i++) self->params.groups[i].frozen = what->frozen & group_bit(i);
    self->step = self->resumed_step;
    self->resumed_step = 0;
    size_t first = self->step;
    if (what->begin) TRY_DONE(what->begin(what->user, self, error));
    while (self->step < steps && status == RUBATO_OK) {
        step_report s;
        size_t epoch = self->step / epoch_steps;
        if (epoch != shuffled) {
            TRY_DONE(samples_begin_epoch(&self->data, trainer_seed(self, 5, epoch), error));
            shuffle(self, shuffled = epoch, order);
        }
        double rate = self->rule.rate * self->rule.schedule(self->step, steps, self->rule.warm_up);
        TRY_DONE(trainer_step(self, order, steps, &s, error));
        self->step++;
        self->tokens_done += (double)s.rows;
        seen += (double)s.rows;
        smooth = isnan(smooth) ? s.loss : 0.9 * smooth + 0.1 * s.loss; /* a mean of about ten steps */
        self->loss = smooth;
        double seconds = (clock_ms() - begun) / 1e3;
        write_metrics(self, &s, (double)self->step / (double)epoch_steps, rate, seen / seconds);
        bool last = self->step == steps;
        if (judges && (last || (self->step % eval_steps == 0 && (double)self->step > what->blind * (double)steps)))
            TRY_DONE(finished(self, what, trainer_judge, &value, error));
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
                                          .best = self->best,
                                          .points = self->judged.points,
                                          .full = self->judged.full,
                                          .least = self->judged.least,
                                          .most = self->judged.most};
        progress.seconds_left = seconds / (double)(self->step - first) * (double)(steps - self->step);
        if (self->options->progress && self->options->progress(self->options->progress_user, &progress)) {
            TRY_DONE(trainer_checkpoint(self, error));
            status =
                fail(error, RUBATO_CANCELLED, "stopped after step %zu of %zu; --resume goes on", self->step, steps);
        }
    }
    if (status == RUBATO_OK && !judges) status = finished(self, what, save_alone, NULL, error);
done:
    self->rule = usual;
    free(order);
    return status;
}

rubato_status trainer_run_phases(trainer *self, const phase *all, size_t count, rubato_error *error) {
    for (size_t i = self->first_phase; i < count; i++) {
        self->phase_number = i;
        TRY(trainer_run(self, &all[i], error));
        if (i + 1 == count) break;
        parameters_forget(&self->params);
        self->best = NAN;
    }
    return RUBATO_OK;
}

rubato_status trainer_run_first(trainer *self, const phase *what, rubato_error *error) {
    if (self->first_phase == 0) {
        TRY(trainer_run(self, what, error));
        parameters_forget(&self->params);
        self->best = NAN;
    }
    self->phase_number = 1;
    return RUBATO_OK;
}
