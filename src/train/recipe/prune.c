/* Pruning while fine-tuning: weights, blocks, or heads and neurons leave by one of the rules of train/pruning.h, on a
 * schedule that ends before the steps do. With a teacher, its answers count more than the labels (Lagunas et al. 2021).
 *
 *   magnitude      small weights leave
 *   movement       weights leave that move towards 0 (Sanh et al. 2020); soft-movement: by a threshold and a penalty
 *   importance     groups leave on which the loss depends least (Michel et al. 2019)
 *   l0             the expected size is held at its target (Louizos et al. 2018, Wang et al. 2020)
 *   cofi           the same, and the teacher's states of every layer (Xia et al. 2022, without its hidden sizes)
 *
 * rubato trim --empty cuts heads and neurons away that are 0. */
#include <string.h>

#include "task/folder.h"
#include "train/pruning.h"
#include "train/recipe/course.h"

static rubato_status begin(void *user, trainer *by, rubato_error *error) {
    return pruning_apply(user, by->step, trainer_phase_steps(by, by->now), false, error);
}

static void teach(course *c) {
    const trainer *by = c->by;
    phase *what = &c->what;
    course_answers(c);
    const double states = by->teacher ? wanted_matching(by) : 0;
    if (states > 0 && course_depth(c) != course_teacher_depth(c))
        course_refuse(c, "the teacher has %zu layers and the model %zu; use --match-states 0", course_teacher_depth(c),
                      course_depth(c));
    for (size_t i = 1; states > 0 && i <= course_depth(c); i++)
        course_layer(c, states / (double)course_depth(c), i, i, false);
    what->begin = begin;
    what->after_gradients = pruning_after_gradients;
    what->after_step = pruning_after_step;
    what->before_judge = pruning_before_judge;
    what->after_judge = pruning_after_judge;
    what->frozen = group_bit(GROUP_EMBEDDINGS);
    what->blind = PRUNE_BEGIN + (1 - PRUNE_BEGIN - PRUNE_END); /* the model is not yet as small as it will be */
    what->user = c->user;
}

static rubato_status note_pruning(const trainer *self, const pruning_options *options, const char *unit,
                                  rubato_error *error) {
    json_t *made = json_pack("{s:s, s:f}", "unit", unit, "keep", options->keep);
    return json_set(json_object_get(self->notes, "training"), "pruning", made, error);
}

static rubato_status prune(trainer *self, rubato_error *error) {
    static const char *const units[] = {[PRUNE_STRUCTURE] = "structure",
                                        [PRUNE_WEIGHTS] = "weights",
                                        [PRUNE_QUADS] = "quads",
                                        [PRUNE_BLOCKS] = "blocks"};
    static const struct {
        const char *name;
        prune_rule rule;
        double score_rate;
    } rules[] = {{"magnitude", PRUNE_MAGNITUDE, 0},
                 {"movement", PRUNE_MOVEMENT, 1e-2},
                 {"soft-movement", PRUNE_SOFT_MOVEMENT, 1e-2},
                 {"importance", PRUNE_IMPORTANCE, 0},
                 {"l0", PRUNE_L0, 1e-1},
                 {"cofi", PRUNE_L0, 1e-1}};
    const rubato_train_options *options = self->options;
    pruning_options how = {.keep = options->keep > 0 ? options->keep : 0.5,
                           .begin = PRUNE_BEGIN,
                           .end = PRUNE_END,
                           .penalty = option_or(options->penalty, 100)};
    size_t rule = 0, unit = 0;
    while (strcmp(rules[rule].name, self->method->name) != 0) rule++;
    how.rule = rules[rule].rule;
    how.score_rate = option_or(options->score_rate, rules[rule].score_rate);
    while (options->unit && unit < 4 && strcmp(units[unit], options->unit) != 0) unit++;
    if (unit == 4)
        return fail(error, RUBATO_BAD_ARGUMENT, "unit \"%.40s\": use structure, weights, quads or blocks",
                    options->unit);
    how.unit = (prune_unit)unit;
    if (!(how.keep > 0 && how.keep < 1))
        return fail(error, RUBATO_BAD_ARGUMENT, "--keep is a part between 0 and 1, not %g", how.keep);
    pruning *made;
    rubato_status status = note_pruning(self, &how, units[unit], error);
    if (status == RUBATO_OK)
        status = pruning_create(&made, self, &how, error);
    else
        made = NULL;
    if (status == RUBATO_OK) status = run_course_with(self, made, error);
    if (status == RUBATO_OK) status = pruning_before_judge(made, self, error);
    if (status == RUBATO_OK) self->kept = pruning_kept(made);
    pruning_destroy(made);
    return status;
}

#define PRUNING(symbol, text, of_soft, of_hard, of_states, more)                                                       \
    const recipe recipe_##symbol = {.name = text,                                                                      \
                                    .run = prune,                                                                      \
                                    .teach = teach,                                                                    \
                                    .stages = 1,                                                                       \
                                    .warm_up = 0.1,                                                                    \
                                    .epochs = 5,                                                                       \
                                    .rate = 5e-5,                                                                      \
                                    .decay = 0.01,                                                                     \
                                    .soft = of_soft,                                                                   \
                                    .hard = of_hard,                                                                   \
                                    .temperature = 2,                                                                  \
                                    .match_states = of_states,                                                         \
                                    .weighs_states = true,                                                             \
                                    .no_own_teacher = true,                                                            \
                                    .reads = "soft hard temperature unit score_rate" more}

PRUNING(magnitude, "magnitude", 0.9, 0.1, 0, " keep");
PRUNING(movement, "movement", 0.9, 0.1, 0, " keep");
PRUNING(soft_movement, "soft-movement", 0.9, 0.1, 0, " penalty");
PRUNING(importance, "importance", 0.9, 0.1, 0, " keep");
PRUNING(l0, "l0", 0.9, 0.1, 0, " keep");
PRUNING(cofi, "cofi", 0.1, 0, 0.9, " keep");
