/* The Length-Adaptive Transformer (Kim and Cho 2021): LengthDrop and LayerDrop, the sandwich rule, in-place
 * distillation. Each step runs the full model with the labels as target, and the smallest one and some random ones with
 * the full model's results as target.
 *
 * The papers count rows of a padded batch; here lengths are parts of each sequence's own length. */
#include "base/random.h"
#include "train/recipe/draw.h"

static size_t sandwich(const trainer *self, uint64_t *state, pass *out) {
    const rubato_train_options *options = self->options;
    drops most = drops_of(self);
    size_t count = draw_pass_count(options);
    for (size_t i = 0; i < count; i++) {
        out[i] = (pass){.at = point_full(self->model->body.depth), .follows = i > 0 && !options->no_distillation};
        draw_layers(most.layer, state, &out[i].at);
        if (i > 0) draw_lengths(most.length, i == 1, state, &out[i].at);
        if (i > 0) draw_merges(most.merges, i == 1, state, &out[i].at);
    }
    return count;
}

static rubato_status length_adaptive(trainer *self, rubato_error *error) {
    const rubato_train_options *options = self->options;
    point also[JUDGED_POINTS];
    const lesson lessons[] = {{&lesson_answers, .weight = 1}, {&lesson_states, .weight = match_states(self)}};
    phase adapt = {.name = self->method->name,
                   .epochs = trainer_epochs(self),
                   .passes = sandwich,
                   .lessons = lessons,
                   .lesson_count = 2,
                   .also = also,
                   .also_count = 1};
    drops most = drops_of(self);
    also[0] = point_full(self->model->body.depth);
    draw_lengths(most.length, true, NULL, &also[0]);
    draw_merges(most.merges, true, NULL, &also[0]);
    if (options->refine) TRY(refine_points(self, &adapt, also, error));
    TRY(note_drops(self, error));
    if (options->resume) TRY(trainer_resume(self, error));
    return trainer_run(self, &adapt, error);
}

const recipe recipe_length_adaptive = {.name = "length-adaptive",
                                       .run = length_adaptive,
                                       .epochs = 5,
                                       .rate = 2e-5,
                                       .length_drop = 0.2,
                                       .layer_drop = 0.2,
                                       .reads = "length_drop layer_drop merges sandwiches no_distillation divergence",
                                       .refines = true,
                                       .matches = true};
