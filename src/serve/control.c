/* Deadline control. */
#include "serve/control.h"

#include <math.h>

#include "base/checked.h"
#include "serve/exchange.h"

static const double WINDOW_MS = 700;     /* over which arriving work is averaged, at least */
static const double WINDOW_SLOS = 3;     /* and in promised times */
static const double FULL_LOAD = 0.9;     /* of the machine, that a level may take */
static const double LOAD_TO_RISE = 0.75; /* at the next level, before going up to it */
static const double RISE_MS = 200;       /* between two steps up */

size_t control_item_level(const hosted *model, const item *one, size_t affordable) {
    if (one->pinned || one->cap <= affordable) return one->cap;
    return model->levels[affordable].best;
}

static double item_ms(const hosted *model, const item *one, size_t affordable) {
    return model->correction * hosted_ms(model, control_item_level(model, one, affordable), one->tokens, false);
}

static void decay(control *self, double now_ms) {
    double passed = now_ms - self->last_ms, factor = exp(-fmax(passed, 0) / self->window_ms);
    for (size_t i = 0; i < self->levels; i++) self->load[i] *= factor;
    self->last_ms = now_ms;
}

void control_arrive(control *self, const hosted *model, const item *one, double slo_ms, double now_ms) {
    size_t levels = size_min(model->level_count, CONTROL_LEVELS);
    if (self->levels != levels)
        *self = (control){
            .levels = levels, .window_ms = WINDOW_MS, .last_ms = now_ms, .sustained = levels - 1, .chosen = levels - 1};
    self->window_ms = fmax(WINDOW_MS, WINDOW_SLOS * slo_ms);
    decay(self, now_ms);
    for (size_t i = 0; i < levels; i++) self->load[i] += item_ms(model, one, i) / self->window_ms;
}

static size_t sustained_level(control *self, double now_ms) {
    decay(self, now_ms);
    while (self->sustained > 0 && self->load[self->sustained] > FULL_LOAD) {
        self->sustained--;
        self->raised_ms = now_ms; /* and stay there for a while */
    }
    if (self->sustained + 1 < self->levels && now_ms - self->raised_ms > RISE_MS &&
        self->load[self->sustained + 1] < LOAD_TO_RISE) {
        self->sustained++;
        self->raised_ms = now_ms;
    }
    return self->sustained;
}

/* Whether everything that waits meets its deadline at that level. An item is answered when the run that it is part of
 * ends. */
static bool in_time(const hosted *model, const item *first, size_t affordable, double now_ms, double run_ms,
                    double margin_ms) {
    double done = now_ms + margin_ms, run = 0, earliest = INFINITY;
    if (!first->next)
        return done + model->correction *
                          hosted_ms(model, control_item_level(model, first, affordable), first->tokens, true) <=
               first->deadline_ms;
    for (const item *one = first; one; one = one->next) {
        if (one->owner->model != model) continue;
        run += item_ms(model, one, affordable);
        earliest = fmin(earliest, one->deadline_ms);
        if (run < run_ms && one->next) continue;
        done += run;
        if (done > earliest) return false;
        run = 0;
        earliest = INFINITY;
    }
    return done + run <= earliest;
}

size_t control_level(control *self, const hosted *model, const item *first, double now_ms, double run_ms,
                     double margin_ms) {
    size_t at = model->level_count - 1;
    if (self->levels) at = size_min(at, sustained_level(self, now_ms));
    while (at > 0 && !in_time(model, first, at, now_ms, run_ms, margin_ms)) at--;
    return self->chosen = at;
}
