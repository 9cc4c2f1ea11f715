/* Plain fine-tuning: one full pass, with the labels as target (Devlin et al. 2018). */
#include "train/recipe/draw.h"

static rubato_status finetune(trainer *self, rubato_error *error) {
    phase plain = {.name = self->method->name, .epochs = trainer_epochs(self), .passes = draw_full};
    if (self->options->resume) TRY(trainer_resume(self, error));
    return trainer_run(self, &plain, error);
}

const recipe recipe_finetune = {
    .name = "finetune", .run = finetune, .warm_up = 0.1, .decay = 0.01, .epochs = 3, .rate = 2e-5, .any_shape = true};
