/* BERT-of-Theseus (Xu et al. 2020): the student's layers take the places of the teacher's. Module i is layer i of the
 * student, or the teacher's layers that it stands for; each step draws for every module which of the two runs. The part
 * of the student's grows from --replace to 1 or stays; then the student runs alone. Only its layers learn; embeddings
 * and head are those of the teacher, from which it was cut (rubato trim --layers 0,1,2). */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/random.h"
#include "train/recipe/draw.h"

typedef struct theseus_run {
    encoder mixed; /* the layers of both; its order is drawn */
    double first, last;
    size_t steps;
} theseus_run;

static double share_at(const theseus_run *t, size_t step) {
    return t->first + (t->last - t->first) * fmin(1, (double)step / (double)size_max(t->steps, 1));
}

static rubato_status draw_modules(void *user, passing *now, rubato_error *error) {
    theseus_run *t = user;
    const encoder *own = &now->by->model->body, *old = &now->by->teacher->body;
    const size_t each = old->depth / own->depth;
    const double share = share_at(t, now->by->step);
    uint64_t state = random_hash(now->key ^ 0x7e5e05);
    size_t at = 0;
    (void)error;
    for (size_t i = 0; i < own->depth; i++) {
        const bool replaced = random_real(&state) < share;
        for (size_t j = 0; j < (replaced ? 1 : each); j++, at++) {
            const size_t number = replaced ? i : i * each + j;
            t->mixed.order[at] = (uint16_t)(replaced ? own->order[i] : own->unique + old->order[number]);
            t->mixed.sizes[at] = (replaced ? own : old)->sizes[number];
        }
    }
    t->mixed.depth = t->mixed.shape.layers = at;
    now->body = &t->mixed;
    return RUBATO_OK;
}

static rubato_status mix(theseus_run *t, const trainer *self, rubato_error *error) {
    const encoder *own = &self->model->body, *old = &self->teacher->body;
    const size_t all = own->unique + old->unique, deepest = size_max(own->depth, old->depth);
    if (old->depth % own->depth || old->depth == own->depth)
        return fail(
            error, RUBATO_BAD_ARGUMENT,
            "recipe theseus: the teacher's %zu layers are no multiple of the model's %zu, twice as many or more",
            old->depth, own->depth);
    if (old->config.hidden != own->config.hidden || own->shape.merges || old->shape.merges)
        return fail(error, RUBATO_BAD_ARGUMENT, "recipe theseus: the layers of model and teacher do not fit together");
    t->mixed = *own;
    t->mixed.layers = calloc(all, sizeof *t->mixed.layers);
    t->mixed.order = calloc(deepest, sizeof *t->mixed.order);
    t->mixed.sizes = calloc(deepest, sizeof *t->mixed.sizes);
    if (!t->mixed.layers || !t->mixed.order || !t->mixed.sizes) return fail_memory(error);
    memcpy(t->mixed.layers, own->layers, own->unique * sizeof *own->layers);
    t->mixed.shape.each = t->mixed.sizes;
    t->mixed.unique = all;
    return RUBATO_OK;
}

static rubato_status run_phases(theseus_run *t, trainer *self, rubato_error *error) {
    const rubato_train_options *options = self->options;
    const encoder *own = &self->model->body, *old = &self->teacher->body;
    const lesson labels = {&lesson_answers, 1, &(answers_setting){.labels = true}};
    const group_set fixed = group_bit(GROUP_EMBEDDINGS) | group_bit(GROUP_HEAD);
    const phase phases[] = {{.name = "replacing",
                             .epochs = trainer_epochs(self),
                             .passes = draw_full,
                             .lessons = &labels,
                             .lesson_count = 1,
                             .frozen = fixed,
                             .before_pass = draw_modules,
                             .blind = 1,
                             .user = t},
                            {.name = "alone",
                             .epochs = trainer_epochs(self),
                             .passes = draw_full,
                             .lessons = &labels,
                             .lesson_count = 1,
                             .frozen = fixed}};
    TRY(mix(t, self, error));
    TRY(parameters_pass_through(&self->params, old, self->context->kernels, error));
    memcpy(t->mixed.layers + own->unique, old->layers, old->unique * sizeof *old->layers);
    t->first = option_or(options->replace, 0.3);
    t->last = option_or(options->replace_to, 1);
    t->steps = trainer_phase_steps(self, &phases[0]);
    if (options->resume) TRY(trainer_resume(self, error));
    return trainer_run_phases(self, phases, 2, error);
}

static rubato_status theseus(trainer *self, rubato_error *error) {
    theseus_run t = {0};
    rubato_status status = run_phases(&t, self, error);
    free(t.mixed.layers);
    free(t.mixed.order);
    free(t.mixed.sizes);
    return status;
}

const recipe recipe_theseus = {.name = "theseus",
                               .run = theseus,
                               .epochs = 3,
                               .rate = 2e-5,
                               .warm_up = 0.1,
                               .decay = 0.01,
                               .compares = true,
                               .needs_teacher = true,
                               .reads = "replace replace_to"};
