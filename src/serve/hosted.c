/* Loading a model to serve, and the table of its points' times. */
#include "serve/hosted.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/text_buffer.h"

/* The guess before anything was measured: the speed of this code on one core of an older machine. */
static const double GUESSED_FLOPS_A_MS = 4e7;

static const double LEARNING = 0.1; /* the share of a run's error that enters the corrections */
static const double LEAST_CORRECTION = 0.2, MOST_CORRECTION = 5;

static void free_hosted(hosted *self) {
    rubato_context_destroy(self->context);
    rubato_model_destroy(self->model);
    stamp_free(self->files);
    free(self->name);
    free(self->source);
    free(self->levels);
    free(self->times);
    free(self);
}

hosted *hosted_use(hosted *self) {
    atomic_fetch_add(&self->uses, 1);
    return self;
}

void hosted_release(hosted *self) {
    if (self && atomic_fetch_sub(&self->uses, 1) == 1) free_hosted(self);
}

static char *name_of(const char *path, size_t length) {
    while (length > 1 && path[length - 1] == '/') length--;
    size_t first = length;
    while (first > 0 && path[first - 1] != '/') first--;
    return text_copy(path + first, length - first);
}

static double predicted(const hosted *self, const level *at, size_t length, size_t count) {
    const char *name = at->budget[0] == '@' ? at->name : NULL;
    if (self->timed) return rubato_predict_ms(self->context, name, length, count) / (double)count;
    const rubato_info *info = self->info;
    double d = (double)info->hidden, f = (double)info->inner, l = (double)length;
    double flops = (double)info->layers * l * (8 * d * d + 4 * l * d + 4 * d * f);
    return flops * at->flops_ratio / GUESSED_FLOPS_A_MS / (double)rubato_context_threads(self->context);
}

/* Computes times at some lengths, and interpolates linearly between them. */
static void fill_times(const hosted *self, const level *at, size_t count, double *out) {
    size_t most = self->info->max_length, left = 0;
    double left_ms = 0;
    for (size_t right = 4; left < most; right += size_max(right / 3, 1)) {
        right = size_min(right, most);
        double right_ms = predicted(self, at, right, count);
        for (size_t i = left; i <= right; i++)
            out[i] = left_ms + (right_ms - left_ms) * (double)(i - left) / (double)(right - left);
        left = right;
        left_ms = right_ms;
    }
}

static rubato_status make_levels(hosted *self, rubato_error *error) {
    enum { MANY = 32 };
    size_t points = rubato_point_count(self->model), row = self->info->max_length + 1;
    self->levels = calloc(points + 1, sizeof *self->levels);
    self->times = calloc(2 * (points + 1) * row, sizeof *self->times);
    if (!self->levels || !self->times) return fail_memory(error);
    self->level_count = points + 1;
    for (size_t i = 0; i <= points; i++) {
        level *at = &self->levels[i];
        double *times = self->times + 2 * i * row;
        at->name = "full";
        at->flops_ratio = 1;
        at->quality = INFINITY;
        snprintf(at->budget, sizeof at->budget, "full");
        if (i < points) {
            const rubato_point *point = rubato_model_point(self->model, i);
            at->name = point->name;
            at->flops_ratio = point->flops_ratio;
            at->quality = point->quality;
            snprintf(at->budget, sizeof at->budget, "@%s", point->name);
        }
        at->best = i;
        if (i > 0 && self->levels[self->levels[i - 1].best].quality >= at->quality) at->best = self->levels[i - 1].best;
        fill_times(self, at, MANY, times);
        fill_times(self, at, 1, times + row);
        for (size_t j = 0; j < row; j++) times[row + j] = fmax(times[row + j] - times[j], 0);
        at->each = times;
        at->start = times + row;
    }
    return RUBATO_OK;
}

static int is_stopped(void *user) {
    const atomic_uint *stops = user;
    return stops && atomic_load(stops) > 0;
}

static int is_stopped_at(void *user, size_t done, size_t total) {
    (void)done;
    (void)total;
    return is_stopped(user);
}

/* Gives the model's times to the context, where there are some or they are needed. */
static rubato_status take_times(hosted *self, bool need_times, void *stops, rubato_error *error) {
    rubato_calibration *calibration;
    rubato_status status = RUBATO_OK;
    self->timed = rubato_calibration_load(self->context, &calibration, NULL) == RUBATO_OK;
    if (!self->timed && need_times) {
        rubato_calibrate_options how = {.size = sizeof how, .progress = is_stopped_at, .progress_user = stops};
        fprintf(stderr, "rubato: measuring this machine for %s, once\n", self->name);
        status = rubato_calibrate(self->context, &how, &calibration, error);
        self->timed = status == RUBATO_OK;
    }
    if (self->timed) status = rubato_context_set_calibration(self->context, calibration, error);
    rubato_calibration_destroy(calibration);
    return status;
}

bool hosted_has_changed(hosted *self, char *name, size_t bytes) {
    stamp *now;
    if (atomic_load(&self->changed) || stamp_take(&now, self->info->path, NULL) != RUBATO_OK) return false;
    /* a file that was written to while the model was loaded may not fit to one that was read before */
    bool changed = stamp_since(now, self->loaded, name, bytes) || stamp_differs(self->files, now, name, bytes);
    stamp_free(now);
    if (changed) atomic_store(&self->changed, true);
    return changed;
}

rubato_status hosted_load(hosted **out, const char *source, const serve_options *options, bool need_times,
                          const atomic_uint *stops, rubato_error *error) {
    void *stop = (void *)(uintptr_t)stops;
    const char *equals = strchr(source, '='), *path = equals ? equals + 1 : source;
    hosted *self = calloc(1, sizeof *self);
    *out = NULL;
    if (!self) return fail_memory(error);
    self->uses = 1;
    self->loaded = stamp_now();
    self->correction = (run_time){1, 1};
    self->source = text_copy(source, strlen(source));
    self->name = equals ? text_copy(source, (size_t)(equals - source)) : name_of(path, strlen(path));
    rubato_context_options context = {.size = sizeof context,
                                      .threads = options->threads,
                                      .batch_tokens = options->context_tokens,
                                      .isa = options->isa};
    /* in memory, because nobody who overwrites a file of the folder may change answers or end the process */
    rubato_load_options load = {.size = sizeof load,
                                .precision = options->precision,
                                .in_memory = 1,
                                .cancelled = is_stopped,
                                .cancelled_user = stop};
    rubato_status status =
        self->name && self->source ? rubato_model_load_with(&self->model, path, &load, error) : fail_memory(error);
    if (status == RUBATO_OK) status = rubato_context_create(&self->context, self->model, &context, error);
    if (status == RUBATO_OK) {
        self->info = rubato_model_info(self->model);
        status = stamp_take(&self->files, self->info->path, error);
    }
    if (status == RUBATO_OK) status = take_times(self, need_times, stop, error);
    if (status == RUBATO_OK) status = make_levels(self, error);
    if (status == RUBATO_OK)
        *out = self;
    else
        free_hosted(self);
    return status;
}

void hosted_add(const hosted *self, run_time *to, size_t at, size_t tokens) {
    const level *l = &self->levels[at];
    size_t most = self->info->max_length;
    to->start = fmax(to->start, l->start[size_min(tokens, most)]);
    to->texts += tokens <= most ? l->each[tokens] : l->each[most] * (double)tokens / (double)most;
}

double hosted_run_ms(run_time correction, run_time what) {
    return correction.start * what.start + correction.texts * what.texts;
}

double hosted_share_ms(const hosted *self, run_time correction, size_t at, size_t tokens, double run_ms) {
    run_time one = {0};
    hosted_add(self, &one, at, tokens);
    double start = correction.start * one.start, text = correction.texts * one.texts;
    return run_ms > start ? fmin(start + text, text * run_ms / (run_ms - start)) : start + text;
}

/* Normalised least mean squares (Widrow and Hoff 1960): each part is corrected in proportion to its share. */
void hosted_learn(hosted *self, run_time what, double measured_ms) {
    double predicted = what.start + what.texts, power = what.start * what.start + what.texts * what.texts;
    if (!(power > 0)) return;
    measured_ms = fmin(fmax(measured_ms, LEAST_CORRECTION * predicted), MOST_CORRECTION * predicted);
    double step = LEARNING * (measured_ms - hosted_run_ms(self->correction, what)) / power;
    run_time *c = &self->correction;
    c->start = fmin(fmax(c->start + step * what.start, LEAST_CORRECTION), MOST_CORRECTION);
    c->texts = fmin(fmax(c->texts + step * what.texts, LEAST_CORRECTION), MOST_CORRECTION);
}
