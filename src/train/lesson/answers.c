/* The answers of the model's head. */
#include "train/trainer.h"

/* The first pass of a model with a teacher learns soft labels (Hinton et al. 2015); the passes that follow it learn as
 * the options say. */
static divergence divergence_for(const answers_setting *setting, const passing *now) {
    bool from_full = now->by->options->divergence_from_full || (setting && setting->from_full) || now->number == 0;
    return (divergence){.from_full = from_full, .temperature = setting ? setting->temperature : 0};
}

static double answers_loss(const lesson *self, passing *now) {
    const answers_setting *setting = self->setting;
    const reference *follow = setting && setting->labels ? NULL : now->follow;
    portion part = *now->part;
    part.labels = passing_labels(now, now->body->depth); /* the labels of the rows that ran to the end */
    if (run_failed(now->on)) return 0;
    return portion_loss(now->by, now->on, &now->out, &part, follow, divergence_for(setting, now), now->keep,
                        now->scale * self->weight) *
           self->weight;
}

const lesson_kind lesson_answers = {.name = "answers", .asks = true, .loss = answers_loss};
