/* Hidden states: the input of each layer is compared with the input of the teacher's layer of the same number, and the
 * last output with the last (Hou et al. 2020), for the rows that are alive. After rows have merged nothing is compared,
 * because no row of the teacher corresponds to a merged row. */
#include <math.h>

#include "base/checked.h"
#include "train/trainer.h"

/* The mean over rows and columns of each state counts in proportion to the portion's share of the step's items. */
static double states_loss(const lesson *self, passing *now) {
    const double scale = self->weight * now->scale * (double)now->part->items;
    const size_t depth = now->by->teacher->body.depth;
    const observation *own, *next;
    double loss = 0;
    for (size_t i = 0; (own = observed_find(&now->seen, WATCH_STATE, i)); i++) {
        if (own->number > 0 && now->what->at.merge[own->number - 1]) break;
        next = observed_find(&now->seen, WATCH_STATE, i + 1);
        tensor full = observed_find(now->taught, WATCH_STATE, next ? next->number - 1 : depth)->rows;
        double each = scale / (double)size_max(own->rows.rows * own->rows.columns, 1);
        loss += loss_match(now->on, own->rows, full.data, full.stride, own->alive, each) * each;
    }
    return loss / fmax(now->scale, 1e-30);
}

const lesson_kind lesson_states = {
    .name = "states", .observes = WATCH_STATE, .compares = WATCH_STATE, .loss = states_loss};
