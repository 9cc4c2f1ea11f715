/* The exits after the layers that a pass ran. */
#include <stdlib.h>

#include "train/trainer.h"

/* The sum of all exits' losses. */
static double sum_losses(const exits_setting *setting, double total, passing *now, const reference *follow) {
    const rubato_model *model = now->by->model;
    const exits *from = &model->exits;
    const head *final = &model->heads[engine_main_head(model)];
    exit_memory memory = {0};
    double loss = 0;
    const observation *at;
    for (size_t i = 0; !run_failed(now->on) && (at = observed_find(&now->seen, WATCH_STATE, i)); i++) {
        if (at->number == 0) continue;
        size_t number = at->number - 1;
        exit_subjects who = exits_all_subjects(from, now->on, at->rows, &at->packed);
        exits_remember(from, final, now->on, number, &who, &memory);
        if (!from->heads[number].present) continue;
        tensor values = exits_forward(from, final, now->on, number, &who, &memory);
        int32_t *labels = passing_labels(now, at->number);
        double weight = setting->weights[number] * total;
        if (weight > 0 && !run_failed(now->on))
            loss += weight * values_loss(now->by, now->on, values, now->part, labels, follow,
                                         (divergence){.from_full = true}, now->scale * weight);
    }
    return loss;
}

static double exits_loss(const lesson *self, passing *now) {
    const exits_setting *setting = self->setting;
    const reference *follow = now->follow;
    reference said = {0};
    if (setting->from_model && !follow) {
        portion_answers(now->by, now->ran, &now->out, now->part, &said);
        follow = &said;
    }
    double loss = sum_losses(setting, self->weight, now, follow);
    free(said.values);
    return loss;
}

const lesson_kind lesson_exits = {.name = "exits", .observes = WATCH_STATE, .asks = true, .loss = exits_loss};
