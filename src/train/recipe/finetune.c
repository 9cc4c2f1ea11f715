/* Plain fine-tuning: every pass full, against the labels (Devlin et al. 2018). */
#include "train/trainer.h"

static size_t one_pass(const trainer *self, uint64_t *state, pass *out) {
    (void)state;
    out[0] = (pass){.at = point_full(self->model->body.depth)};
    return 1;
}

static rubato_status finetune(trainer *self, rubato_error *error) {
    phase plain = {.name = self->method->name,
                   .epochs = self->options->epochs > 0 ? self->options->epochs : self->method->epochs,
                   .passes = one_pass,
                   .soft = SIZE_MAX};
    if (self->options->resume) TRY(trainer_resume(self, error));
    return trainer_run(self, &plain, error);
}

const recipe recipe_finetune = {
    .name = "finetune", .run = finetune, .warm_up = 0.1, .decay = 0.01, .epochs = 3, .rate = 2e-5};
