/* PoWER-BERT (Goyal et al. 2020): rows are first scaled by learned factors of their rank, which a penalty drives to
 * zero; what is left of each layer's factors is the length it keeps; the model is then trained again at those lengths.
 *
 * The paper has a factor for every rank of a padded batch. Here ranks are parts of a sequence's own length, in BINS
 * steps, so that one factor serves sequences of every length. */
#include "task/save.h"
#include "train/trainer.h"

enum { BINS = 64 };

static size_t full_pass(const trainer *self, uint64_t *state, pass *out) {
    (void)state;
    out[0] = (pass){.at = point_full(self->model->body.depth)};
    return 1;
}

static size_t kept_pass(const trainer *self, uint64_t *state, pass *out) {
    (void)state;
    out[0] = (pass){.at = self->model->points.points[0]};
    return 1;
}

/* l_j = min(l_{j-1}, sum of the factors), here as a part. */
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
    *all = (frontier){.points = kept, .count = 1, .by = SIGNIFICANCE_OTHERS, .full = NAN, .full_ms = NAN};
    return RUBATO_OK;
}

static rubato_status power_bert(trainer *self, rubato_error *error) {
    const rubato_train_options *options = self->options;
    double epochs = options->epochs > 0 ? options->epochs : self->method->epochs;
    size_t depth = self->model->body.depth, factors = parameters_add(&self->params, depth * BINS);
    if (factors == SIZE_MAX) return fail_memory(error);
    float *values = self->params.items[factors].value;
    for (size_t i = 0; i < depth * BINS; i++) values[i] = 1;
    self->model->points.by = SIGNIFICANCE_OTHERS;
    if (options->resume) TRY(trainer_resume(self, error));
    phase soften = {.name = "soft extraction",
                    .epochs = epochs,
                    .passes = full_pass,
                    .soft = factors,
                    .soft_rate = options->soft_rate > 0 ? options->soft_rate : 1e-3,
                    .soft_penalty = options->soft_penalty > 0 ? options->soft_penalty : 1e-3};
    if (self->first_phase == 0) {
        TRY(trainer_run(self, &soften, error));
        parameters_forget(&self->params);
    }
    TRY(make_point(self, values, error));
    point kept = self->model->points.points[0];
    phase retrain = {.name = "re-training", .epochs = epochs, .passes = kept_pass, .soft = SIZE_MAX, .judge = &kept};
    self->phase_number = 1;
    self->best = NAN;
    TRY(trainer_run(self, &retrain, error));
    self->model->points.points[0].quality = self->best;
    snprintf(self->model->points.metric, sizeof self->model->points.metric, "%s", trainer_metric(self));
    return model_save_points(&self->model->points, self->notes, options->out, error);
}

const recipe recipe_power_bert = {
    .name = "power-bert", .run = power_bert, .warm_up = 0.1, .decay = 0, .epochs = 3, .rate = 3e-5};
