/* Networks of several widths in one set of weights.
 *
 *   slimmable   the sandwich rule over widths, a separate width for each layer; smaller passes learn from the full
 * model (Yu and Huang 2019); heads and neurons are sorted first dynabert    sorting, then widths, then widths and
 * depths, with a teacher's answers and hidden states as target (Hou et al. 2020); the teacher is --teacher, else the
 * starting model */
#include <math.h>

#include "train/recipe/draw.h"
#include "train/rewire.h"

static size_t sandwich(const trainer *self, uint64_t *state, pass *out) {
    width_list widths = widths_of(self);
    size_t count = draw_pass_count(self->options);
    for (size_t i = 0; i < count; i++) {
        out[i] = (pass){.at = point_full(self->model->body.depth), .follows = i > 0 && !self->options->no_distillation};
        if (i == 1) set_width(widths.parts[widths.count - 1], &out[i].at);
        if (i > 1) draw_widths(&widths, false, self->model->body.config.heads, state, &out[i].at);
    }
    return count;
}

static size_t every_width(const trainer *self, uint64_t *state, pass *out) {
    width_list widths = widths_of(self);
    (void)state;
    for (size_t i = 0; i < widths.count; i++) {
        out[i] = (pass){.at = point_full(self->model->body.depth), .follows = true};
        set_width(widths.parts[i], &out[i].at);
    }
    return widths.count;
}

/* Of K = round(m L) layers that stay, layer i is floor(i / m), so that the last layer is removed first. m is in
 * quarters, whose floors are exact. */
static void keep_layers(size_t quarters, point *at) {
    size_t kept = (at->layers * quarters + 2) / 4;
    for (size_t i = 0; i < at->layers; i++) at->skip[i] = quarters < 4;
    for (size_t i = 0; i < kept && quarters < 4; i++) at->skip[i * 4 / quarters] = false;
}

static size_t every_width_and_depth(const trainer *self, uint64_t *state, pass *out) {
    size_t widths = every_width(self, state, out), count = 0;
    for (size_t quarters = 4; quarters >= 2; quarters--)
        for (size_t i = 0; i < widths && count < MOST_PASSES; i++) {
            point at = out[i].at;
            keep_layers(quarters, &at);
            out[count++] = (pass){.at = at, .follows = true};
        }
    return count;
}

static rubato_status begin(trainer *self, width_list *widths, rubato_error *error) {
    TRY(widths_parse(widths, self->options->widths, error));
    TRY(encoder_allow_narrow(&self->model->body, &self->model->packed, error));
    if (self->params.products == PRECISION_INT8)
        return fail(error, RUBATO_UNSUPPORTED, "narrower layers are trained in f32 or bf16");
    TRY(rewire(self, error));
    return note_widths(self, widths, error);
}

/* Every width below 1 is judged. */
static size_t judged_widths(const trainer *self, const width_list *widths, point *out) {
    for (size_t i = 1; i < widths->count; i++) {
        out[i - 1] = point_full(self->model->body.depth);
        set_width(widths->parts[i], &out[i - 1]);
    }
    return widths->count - 1;
}

static const answers_setting as_it_is = {.from_full = true};
static const lesson follow = {&lesson_answers, 1, &as_it_is};

static rubato_status slimmable(trainer *self, rubato_error *error) {
    width_list widths;
    point also[MOST_WIDTHS];
    TRY(begin(self, &widths, error));
    phase narrow = {.name = self->method->name,
                    .epochs = trainer_epochs(self),
                    .passes = sandwich,
                    .lessons = &follow,
                    .lesson_count = 1,
                    .also = also,
                    .also_count = judged_widths(self, &widths, also)};
    if (self->options->resume) TRY(trainer_resume(self, error));
    return trainer_run(self, &narrow, error);
}

static rubato_status dynabert(trainer *self, rubato_error *error) {
    width_list widths;
    point also[MOST_WIDTHS], depths[3];
    TRY(begin(self, &widths, error));
    const double match = match_states(self);
    const lesson some[] = {follow, {&lesson_states, .weight = 0.1 * match}};
    const lesson all[] = {follow, {&lesson_states, .weight = match}};
    phase wide = {.name = "width",
                  .epochs = trainer_epochs(self),
                  .passes = every_width,
                  .lessons = some,
                  .lesson_count = 2,
                  .also = also,
                  .also_count = judged_widths(self, &widths, also)};
    phase deep = {.name = "width and depth",
                  .epochs = trainer_epochs(self),
                  .passes = every_width_and_depth,
                  .lessons = all,
                  .lesson_count = 2,
                  .also = depths,
                  .also_count = 3};
    for (size_t i = 0; i < 3; i++) {
        depths[i] = point_full(self->model->body.depth);
        set_width(widths.parts[i * (widths.count - 1) / 2], &depths[i]);
        keep_layers(i == 0 ? 2 : 3, &depths[i]);
    }
    TRY(json_set(json_object_get(self->notes, "training"), "layer_drop", json_real(0.5), error));
    if (self->options->resume) TRY(trainer_resume(self, error));
    TRY(trainer_run_first(self, &wide, error));
    /* the teacher of the second stage is the model of the first */
    TRY(trainer_teach_itself(self, error));
    return trainer_run(self, &deep, error);
}

const recipe recipe_slimmable = {.name = "slimmable",
                                 .run = slimmable,
                                 .reads = "widths sandwiches no_distillation",
                                 .warm_up = 0.1,
                                 .epochs = 3,
                                 .rate = 3e-5};
const recipe recipe_dynabert = {.name = "dynabert",
                                .run = dynabert,
                                .reads = "widths",
                                .epochs = 3,
                                .rate = 2e-5,
                                .matches = true,
                                .match_states = 1,
                                .needs_teacher = true};
