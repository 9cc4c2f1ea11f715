/* Adaptive computation time (Graves 2016): the loss of the model's head on the mean of the states up to the layer where
 * a sequence halts, and the price of its layers. */
#include "train/trainer.h"

static double halting_loss(const lesson *self, passing *now) {
    const halting_setting *setting = self->setting;
    const rubato_model *model = now->by->model;
    const exits *from = &model->exits;
    const head *final = &model->heads[engine_main_head(model)];
    const double scale = now->scale * self->weight;
    exit_memory memory = {0};
    double ponder = 0;
    const observation *at;
    for (size_t i = 0; (at = observed_find(&now->seen, WATCH_STATE, i)); i++) {
        if (at->number == 0) continue;
        exit_subjects who = exits_all_subjects(from, now->on, at->rows, &at->packed);
        exits_remember(from, final, now->on, at->number - 1, &who, &memory);
    }
    tensor mean = halting_mean(now->on, &memory, from->rule.threshold, (float)setting->ponder, scale, &ponder);
    tensor values = head_forward(final, now->on, mean, NULL, 0);
    if (run_failed(now->on)) return 0;
    double loss = self->weight * values_loss(now->by, now->on, values, now->part, now->part->labels, now->follow,
                                             (divergence){.from_full = true}, scale);
    return loss + self->weight * setting->ponder * ponder;
}

const lesson_kind lesson_halting = {.name = "halting", .observes = WATCH_STATE, .asks = true, .loss = halting_loss};
