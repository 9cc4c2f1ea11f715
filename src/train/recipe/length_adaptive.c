/* The Length-Adaptive Transformer (Kim and Cho 2021): LengthDrop and LayerDrop, the sandwich rule, in-place
 * distillation. Each step runs the full model against the labels, the smallest one and some random ones against the
 * full one's results.
 *
 * Where the papers count rows of a padded batch, lengths here are parts of each sequence's own length. */
#include "base/random.h"
#include "train/trainer.h"

/* Each layer is left out with the probability of LayerDrop (Fan et al. 2020), never all of them. */
static void drop_layers(double probability, uint64_t *state, point *at) {
    size_t left = at->layers;
    for (size_t i = 0; i < at->layers; i++)
        if (random_real(state) < probability && left > 1) {
            at->skip[i] = true;
            left--;
        }
}

/* l_{j+1} between (1 - p) l_j and l_j: the least of it, or anywhere. Layers that are left out shorten nothing. */
static void drop_lengths(double most, bool smallest, uint64_t *state, point *at) {
    double keep = 1;
    for (size_t i = 0; i < at->layers; i++) {
        if (at->skip[i]) continue;
        keep *= smallest ? 1 - most : 1 - most * random_real(state);
        at->keep[i] = (float)keep;
    }
}

static size_t sandwich(const trainer *self, uint64_t *state, pass *out) {
    const rubato_train_options *options = self->options;
    double length_drop = option_or(options->length_drop, 0.2), layer_drop = option_or(options->layer_drop, 0.2);
    size_t random = options->sandwiches ? options->sandwiches : 2, count = random + 2;
    if (count > MOST_PASSES) count = MOST_PASSES;
    for (size_t i = 0; i < count; i++) {
        out[i] = (pass){.at = point_full(self->model->body.depth), .follows = i > 0 && !options->no_distillation};
        drop_layers(layer_drop, state, &out[i].at);
        if (i > 0) drop_lengths(length_drop, i == 1, state, &out[i].at);
    }
    return count;
}

static rubato_status length_adaptive(trainer *self, rubato_error *error) {
    const rubato_train_options *options = self->options;
    point smallest = point_full(self->model->body.depth);
    drop_lengths(option_or(options->length_drop, 0.2), true, NULL, &smallest);
    phase adapt = {.name = self->method->name,
                   .epochs = options->epochs > 0 ? options->epochs : self->method->epochs,
                   .passes = sandwich,
                   .soft = SIZE_MAX,
                   .also = &smallest};
    json_t *made = json_object_get(self->notes, "training");
    json_object_set_new(made, "length_drop", json_real(option_or(options->length_drop, 0.2)));
    json_object_set_new(made, "layer_drop", json_real(option_or(options->layer_drop, 0.2)));
    if (options->resume) TRY(trainer_resume(self, error));
    return trainer_run(self, &adapt, error);
}

const recipe recipe_length_adaptive = {
    .name = "length-adaptive", .run = length_adaptive, .warm_up = 0, .decay = 0, .epochs = 5, .rate = 2e-5};
