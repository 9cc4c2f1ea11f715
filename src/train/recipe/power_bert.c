/* PoWER-BERT (Goyal et al. 2020): rows are first scaled by learned factors of their rank, which a penalty drives to
 * zero. The sum of each layer's factors is the length that the layer keeps. The model is then trained again at those
 * lengths.
 *
 * The paper has a factor for every rank of a padded batch. Here a rank is a part of a sequence's own length, in BINS
 * steps, so that one factor serves sequences of every length. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "task/save.h"
#include "train/judge.h"
#include "train/recipe/draw.h"

enum { BINS = 64 };

static size_t kept_pass(const trainer *self, uint64_t *state, pass *out) {
    (void)state;
    out[0] = (pass){.at = self->model->points.points[0]};
    return 1;
}

/* ---- Soft extraction ---- */

typedef struct softening {
    soft_extraction soft;
    size_t count;          /* the number of factors */
    float *value;          /* [count], in [0, 1] */
    float *before;         /* [count] the values before a step */
    double penalty, ratio; /* ratio: the factors' rate over the run's */
} softening;

static rubato_status scale_rows(void *user, passing *now, rubato_error *error) {
    const softening *self = user;
    (void)error;
    now->thin.soft = &self->soft;
    return RUBATO_OK;
}

/* The regulariser: lambda * sum over layers j (from 1) of j * sum |r_j|. */
static rubato_status penalize(void *user, trainer *by, rubato_error *error) {
    softening *self = user;
    (void)by;
    (void)error;
    for (size_t i = 0; i < self->count; i++)
        if (self->value[i] > 0) self->soft.gradient[i] += (float)(self->penalty * (double)(i / BINS + 1));
    memcpy(self->before, self->value, self->count * sizeof *self->before);
    return RUBATO_OK;
}

/* The factors have their own rate, and stay in [0, 1]. Their change at the run's rate is scaled, instead of the rate of
 * their group, so that the results are equal to those of earlier runs to the bit. */
static rubato_status move_factors(void *user, trainer *by, rubato_error *error) {
    softening *self = user;
    (void)by;
    (void)error;
    for (size_t i = 0; i < self->count; i++) {
        float moved = self->before[i] + (float)self->ratio * (self->value[i] - self->before[i]);
        self->value[i] = fminf(fmaxf(moved, 0), 1);
    }
    return RUBATO_OK;
}

/* Adds factors of one as parameters. */
static rubato_status add_factors(softening *self, trainer *by, rubato_error *error) {
    const rubato_train_options *options = by->options;
    size_t group, index;
    *self = (softening){.count = by->model->body.depth * BINS,
                        .penalty = options->soft_penalty > 0 ? options->soft_penalty : 1e-3,
                        .ratio = (options->soft_rate > 0 ? options->soft_rate : 1e-3) / by->rule.rate};
    TRY(parameters_add_group(&by->params, &(parameter_group){.name = "soft factors"}, &group, error));
    TRY(parameters_add(&by->params, self->count, group, &index, error));
    const parameter *factors = &by->params.items[index];
    self->before = arena_take_array(&by->params.memory, self->count, sizeof *self->before);
    if (!self->before) return fail_memory(error);
    for (size_t i = 0; i < self->count; i++) factors->value[i] = 1;
    self->value = factors->value;
    self->soft = (soft_extraction){.factors = factors->value, .gradient = factors->gradient, .bins = BINS};
    return RUBATO_OK;
}

/* ---- The lengths that are kept ---- */

/* l_j = min(l_{j-1}, sum of the factors), as a part of the length. */
static void derive(const float *factors, point *out) {
    double before = 1;
    for (size_t i = 0; i < out->layers; i++) {
        double sum = 0;
        for (size_t j = 0; j < BINS; j++) sum += (double)factors[i * BINS + j];
        double keep = sum / BINS;
        if (keep > before) keep = before;
        if (keep < 1.0 / 512) keep = 1.0 / 512;
        out->keep[i] = (float)keep;
        before = keep;
    }
}

static rubato_status make_point(trainer *self, const float *factors, rubato_error *error) {
    frontier *all = &self->model->points;
    point *kept = calloc(1, sizeof *kept);
    if (!kept) return fail_memory(error);
    *kept = point_full(self->model->body.depth);
    snprintf(kept->name, sizeof kept->name, "power");
    derive(factors, kept);
    point full = point_full(kept->layers);
    const encoder_shape *shape = &self->model->body.shape;
    size_t length = self->data.tokens / self->data.count;
    kept->flops_ratio = point_flops(kept, shape, length, NULL) / point_flops(&full, shape, length, NULL);
    frontier_free(all);
    *all = (frontier){
        .points = kept, .count = 1, .by = SIGNIFICANCE_OTHERS, .full = NAN, .full_ms = NAN, .full_error = NAN};
    return RUBATO_OK;
}

static rubato_status power_bert(trainer *self, rubato_error *error) {
    softening factors;
    TRY(add_factors(&factors, self, error));
    self->model->points.by = SIGNIFICANCE_OTHERS;
    if (self->options->resume) TRY(trainer_resume(self, error));
    phase soften = {.name = "soft extraction",
                    .epochs = trainer_epochs(self),
                    .passes = draw_full,
                    .before_pass = scale_rows,
                    .after_gradients = penalize,
                    .after_step = move_factors,
                    .user = &factors};
    TRY(trainer_run_first(self, &soften, error));
    TRY(make_point(self, factors.value, error));
    point kept = self->model->points.points[0];
    phase retrain = {.name = "re-training", .epochs = trainer_epochs(self), .passes = kept_pass, .judge = &kept};
    self->best = NAN;
    TRY(trainer_run(self, &retrain, error));
    self->model->points.points[0].quality = self->best;
    snprintf(self->model->points.metric, sizeof self->model->points.metric, "%s", trainer_metric(self));
    return model_save_points(&self->model->points, self->notes, self->options->out, error);
}

const recipe recipe_power_bert = {.name = "power-bert",
                                  .run = power_bert,
                                  .reads = "soft_rate soft_penalty",
                                  .warm_up = 0.1,
                                  .epochs = 3,
                                  .rate = 3e-5};
