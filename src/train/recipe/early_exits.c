/* Early exits for whole sequences, as published; one mechanism, of which each method is a setting.
 *
 *   branchynet  linear exits, trained with the model (Teerapittayanon et al. 2016)
 *   deebert     fine-tuning, then exits with poolers of their own alone (Xin et al. 2020)
 *   right-tool  a few exits over weighted layers, trained with the model, calibrated (Schwartz et al. 2020)
 *   fastbert    fine-tuning, then students of the model's own answers alone; texts need no labels (Liu et al. 2020)
 *   pabee       exits behind the shared pooler, later ones counting more (Zhou et al. 2020)
 *   tokee       a linear exit a layer for each token, later ones counting more, then training with the halts that will
 *               happen (Li et al. 2021); what leaves stays as it is after the layer's normalisation
 *   act         probabilities to halt, the answer from the mean of the states (Graves 2016)
 *
 * Where the last layer has the model's own head, no exit stands beside it, unlike in some of the authors' code. */
#include <stdlib.h>
#include <string.h>

#include "train/temperature.h"
#include "train/trainer.h"

enum { JUDGED_EXITS = 3 };

static size_t full_pass(const trainer *self, uint64_t *state, pass *out) {
    (void)state;
    out[0] = (pass){.at = point_full(self->model->body.depth)};
    return 1;
}

static bool is(const trainer *self, const recipe *method) {
    return self->method == method;
}

static void weigh(const trainer *self, exit_lesson *lesson) {
    size_t depth = self->model->body.depth;
    double sum = (double)(depth * (depth + 1)) / 2;
    bool rising = is(self, &recipe_pabee) || is(self, &recipe_tokee);
    lesson->final = rising ? (double)depth / sum : 1;
    for (size_t i = 0; i < depth; i++) lesson->weights[i] = rising ? (double)(i + 1) / sum : 1;
}

/* Points that show how good exits are: everything leaves at a low, a middle and a high one. */
static size_t judged(const trainer *self, point *out) {
    const exits *from = &self->model->exits;
    size_t layers[POINT_LAYERS], count = 0, most = JUDGED_EXITS;
    for (size_t i = 0; i < from->depth; i++)
        if (from->heads[i].present) layers[count++] = i;
    if (count < most) most = count;
    for (size_t i = 0; i < most; i++) {
        out[i] = point_full(from->depth);
        out[i].exit = (exit_setting){.rule = &exit_fixed, .first = (uint32_t)layers[i * count / most] + 1};
    }
    return most;
}

static rubato_status early_exits(trainer *self, rubato_error *error) {
    const rubato_train_options *options = self->options;
    double epochs = options->epochs > 0 ? options->epochs : self->method->epochs;
    bool halts = is(self, &recipe_act);
    bool two_stages = is(self, &recipe_deebert) || is(self, &recipe_fastbert);
    exit_lesson lesson = {.frozen = two_stages || options->frozen,
                          .from_final = is(self, &recipe_fastbert),
                          .ponder = option_or(options->ponder, 0.01)};
    weigh(self, &lesson);
    point also[JUDGED_EXITS], halting = point_full(self->model->body.depth);
    halting.exit = self->model->exits.rule;
    phase plain = {.name = "fine-tuning", .epochs = epochs, .passes = full_pass, .soft = SIZE_MAX};
    phase leave = {.name = self->method->name,
                   .epochs = epochs,
                   .passes = full_pass,
                   .soft = SIZE_MAX,
                   .exits = &lesson,
                   .also = also};
    if (halts)
        leave.judge = &halting;
    else
        leave.also_count = judged(self, also);
    if (options->resume) TRY(trainer_resume(self, error));
    if (two_stages && !options->frozen && self->first_phase == 0) {
        TRY(trainer_run(self, &plain, error));
        parameters_forget(&self->params);
        self->resumed_step = 0;
        self->best = NAN;
    }
    if (two_stages && !options->frozen) self->phase_number = 1;
    TRY(trainer_run(self, &leave, error));
    return is(self, &recipe_right_tool) && options->dev && !self->stopped ? temperatures_fit(self, error) : RUBATO_OK;
}

/* The second stage of tokee, with the first one's model to sample by. */
static rubato_status self_sampling(trainer *self, phase *leave, exit_lesson *lesson, rubato_error *error) {
    rubato_model *sampler;
    TRY(rubato_model_load(&sampler, self->options->out, error));
    lesson->sampler = sampler;
    leave->name = "self-sampling";
    leave->exits = lesson;
    self->phase_number = 1;
    rubato_status status = trainer_run(self, leave, error);
    rubato_model_destroy(sampler);
    return status;
}

static rubato_status tokee(trainer *self, rubato_error *error) {
    if (!self->model->exits.by_row) return fail(error, RUBATO_WRONG_TASK, "recipe tokee is for tagging");
    exit_lesson lesson = {0};
    point also[JUDGED_EXITS];
    weigh(self, &lesson);
    phase leave = {.name = self->method->name,
                   .epochs = self->options->epochs > 0 ? self->options->epochs : self->method->epochs,
                   .passes = full_pass,
                   .soft = SIZE_MAX,
                   .exits = &lesson,
                   .also = also,
                   .also_count = judged(self, also)};
    if (self->options->resume) TRY(trainer_resume(self, error));
    if (self->first_phase == 0) {
        TRY(trainer_run(self, &leave, error));
        parameters_forget(&self->params);
        self->resumed_step = 0;
        self->best = NAN;
    }
    for (size_t i = 0; i < leave.also_count; i++) { /* late, earlier, very early: what is kept is good at all of them */
        also[i].exit = self->model->exits.rule;
        also[i].exit.threshold *= (float)(1 << i);
    }
    return self_sampling(self, &leave, &lesson, error);
}

const recipe recipe_tokee = {.name = "tokee",
                             .run = tokee,
                             .warm_up = 0.1,
                             .epochs = 5,
                             .rate = 5e-5,
                             .exits = EXIT_LINEAR,
                             .rule = {.rule = &exit_entropy, .threshold = 0.15f, .by_token = true, .window = 2}};
const recipe recipe_branchynet = {.name = "branchynet",
                                  .run = early_exits,
                                  .warm_up = 0.1,
                                  .epochs = 3,
                                  .rate = 5e-5,
                                  .exits = EXIT_LINEAR,
                                  .rule = {.rule = &exit_entropy, .threshold = 0.3f}};
const recipe recipe_deebert = {.name = "deebert",
                               .run = early_exits,
                               .epochs = 3,
                               .rate = 2e-5,
                               .exits = EXIT_POOLER,
                               .rule = {.rule = &exit_entropy, .threshold = 0.3f}};
const recipe recipe_right_tool = {.name = "right-tool",
                                  .run = early_exits,
                                  .epochs = 2,
                                  .rate = 5e-5,
                                  .exits = EXIT_WEIGHTED,
                                  .rule = {.rule = &exit_confidence, .threshold = 0.9f}};
const recipe recipe_fastbert = {.name = "fastbert",
                                .run = early_exits,
                                .warm_up = 0.1,
                                .epochs = 3,
                                .rate = 2e-4,
                                .exits = EXIT_STUDENT,
                                .rule = {.rule = &exit_entropy, .threshold = 0.5f}};
const recipe recipe_pabee = {.name = "pabee",
                             .run = early_exits,
                             .epochs = 5,
                             .rate = 2e-5,
                             .exits = EXIT_SHARED,
                             .rule = {.rule = &exit_patience, .patience = 3}};
const recipe recipe_act = {.name = "act",
                           .run = early_exits,
                           .warm_up = 0.1,
                           .epochs = 3,
                           .rate = 5e-5,
                           .exits = EXIT_HALTING,
                           .rule = {.rule = &exit_halting, .threshold = 0.01f}};
