/* Early exits for whole sequences, as published. They share one mechanism, of which each method is a setting.
 *
 *   branchynet  linear exits, trained with the model (Teerapittayanon et al. 2016)
 *   deebert     fine-tuning, then exits alone, each with its own pooler (Xin et al. 2020)
 *   right-tool  a few exits over weighted layers, trained with the model, calibrated (Schwartz et al. 2020)
 *   fastbert    fine-tuning, then exits alone, students of the model's own answers; texts need no labels (Liu et al.
 * 2020) pabee       exits behind the shared pooler, later ones with more weight (Zhou et al. 2020) act probabilities to
 * halt, the answer from the mean of the states (Graves 2016)
 *
 * The last layer has the model's own head and no exit beside it, unlike in some of the authors' code. */
#include "train/recipe/early_exits.h"

#include "train/recipe/draw.h"
#include "train/temperature.h"

double weigh_exits(const trainer *self, exits_setting *out) {
    size_t depth = self->model->body.depth;
    double sum = (double)(depth * (depth + 1)) / 2;
    bool rising = self->method->exits.rising;
    for (size_t i = 0; i < depth; i++) out->weights[i] = rising ? (double)(i + 1) / sum : 1;
    return rising ? (double)depth / sum : 1;
}

size_t judged_exits(const trainer *self, point *out) {
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
    const recipe_exits *given = &self->method->exits;
    const bool halts = given->kind == EXIT_HALTING, alone = given->apart || options->frozen;
    exits_setting each = {.from_model = given->from_model};
    const halting_setting halting = {.ponder = option_or(options->ponder, 0.01)};
    const double final = weigh_exits(self, &each);
    /* with halting, the head answers only from the mean */
    const lesson lessons[] = {{&lesson_answers, alone || halts ? 0 : final, NULL},
                              halts ? (lesson){&lesson_halting, 1, &halting} : (lesson){&lesson_exits, 1, &each}};
    point also[JUDGED_EXITS], at_rule = point_full(self->model->body.depth);
    at_rule.exit = self->model->exits.rule;
    phase plain = {.name = "fine-tuning", .epochs = trainer_epochs(self), .passes = draw_full};
    phase leave = {.name = self->method->name,
                   .epochs = trainer_epochs(self),
                   .passes = draw_full,
                   .lessons = lessons,
                   .lesson_count = 2,
                   .frozen = alone ? ~group_bit(GROUP_EXITS) : 0,
                   .also = also};
    if (halts)
        leave.judge = &at_rule;
    else
        leave.also_count = judged_exits(self, also);
    if (options->resume) TRY(trainer_resume(self, error));
    if (given->apart && !options->frozen) TRY(trainer_run_first(self, &plain, error));
    TRY(trainer_run(self, &leave, error));
    return given->calibrated && options->dev ? temperatures_fit(self, error) : RUBATO_OK;
}

const recipe recipe_branchynet = {.name = "branchynet",
                                  .run = early_exits,
                                  .warm_up = 0.1,
                                  .epochs = 3,
                                  .rate = 5e-5,
                                  .exits = {.kind = EXIT_LINEAR, .rule = {.rule = &exit_entropy, .threshold = 0.3f}}};
const recipe recipe_deebert = {
    .name = "deebert",
    .run = early_exits,
    .epochs = 3,
    .rate = 2e-5,
    .exits = {.kind = EXIT_POOLER, .rule = {.rule = &exit_entropy, .threshold = 0.3f}, .apart = true}};
const recipe recipe_right_tool = {
    .name = "right-tool",
    .run = early_exits,
    .epochs = 2,
    .rate = 5e-5,
    .exits = {
        .kind = EXIT_WEIGHTED, .rule = {.rule = &exit_confidence, .threshold = 0.9f}, .few = true, .calibrated = true}};
const recipe recipe_fastbert = {
    .name = "fastbert",
    .run = early_exits,
    .warm_up = 0.1,
    .epochs = 3,
    .rate = 2e-4,
    .exits = {
        .kind = EXIT_STUDENT, .rule = {.rule = &exit_entropy, .threshold = 0.5f}, .apart = true, .from_model = true}};
const recipe recipe_pabee = {
    .name = "pabee",
    .run = early_exits,
    .epochs = 5,
    .rate = 2e-5,
    .exits = {.kind = EXIT_SHARED, .rule = {.rule = &exit_patience, .patience = 3}, .rising = true}};
const recipe recipe_act = {.name = "act",
                           .run = early_exits,
                           .reads = "ponder",
                           .warm_up = 0.1,
                           .epochs = 3,
                           .rate = 5e-5,
                           .exits = {.kind = EXIT_HALTING, .rule = {.rule = &exit_halting, .threshold = 0.01f}}};
