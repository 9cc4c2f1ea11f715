/* Deadline control. */
#include "serve/control.h"

#include <math.h>

#include "base/checked.h"
#include "serve/exchange.h"

static const double WINDOW_MS = 700;     /* the shortest time over which arriving work is averaged */
static const double WINDOW_SLOS = 3;     /* the same in promised times */
static const double FULL_LOAD = 0.9;     /* the share of the machine that a level may take */
static const double LOAD_TO_RISE = 0.75; /* the load at the next level below which the level rises */
static const double RISE_MS = 200;       /* between two rises */
static const double RUN_MS = 40;         /* length of a run without a promise */
static const double SLO_RUN = 0.25;      /* length of a run, in promised times */
static const double MOST_SLO_RUN = 0.4;  /* the longest run, where starts are long */
static const double STARTS = 3;          /* the number of starts that a run should last */
static const double RUN_LEARNING = 0.05; /* weight of one arrival in the length of runs */
static const double LEAST_MARGIN_MS = 3; /* the least margin for everything outside of the model */
static const double SLO_MARGIN = 0.15;
static const double MOST_MARGIN = 0.5;
static const double LATE_STEP = 0.02;   /* the part of the promised time by which a late answer widens the margin */
static const double LATE_SHARE = 0.008; /* the share of answers that may be late */

size_t control_item_level(const hosted *model, const item *one, size_t affordable) {
    if (one->pinned || one->cap <= affordable) return one->cap;
    return model->levels[affordable].best;
}

double control_margin_ms(const control *self, double slo_ms) {
    return fmax(LEAST_MARGIN_MS, SLO_MARGIN * slo_ms) + self->learned_ms;
}

void control_answer(control *self, double deadline_ms, double slo_ms, double now_ms) {
    if (!(slo_ms > 0) || !isfinite(deadline_ms)) return;
    /* the answer still has to travel to the client */
    bool late = now_ms + LEAST_MARGIN_MS > deadline_ms;
    double moved = self->learned_ms + LATE_STEP * slo_ms * (late ? 1 : -LATE_SHARE);
    self->learned_ms = fmin(fmax(moved, 0), (MOST_MARGIN - SLO_MARGIN) * slo_ms);
}

static void decay(control *self, double now_ms) {
    double passed = now_ms - self->last_ms, factor = exp(-fmax(passed, 0) / self->window_ms);
    for (size_t i = 0; i < self->levels; i++) self->load[i] *= factor;
    self->last_ms = now_ms;
}

void control_create(control *self, const hosted *model, double slo_ms) {
    size_t levels = size_min(model->level_count, CONTROL_LEVELS);
    *self = (control){.levels = levels,
                      .window_ms = fmax(WINDOW_MS, WINDOW_SLOS * slo_ms),
                      .sustained = levels - 1,
                      .chosen = levels - 1,
                      .run_ms = slo_ms > 0 ? fmin(RUN_MS, SLO_RUN * slo_ms) : RUN_MS};
}

outlook control_look(control *self, const hosted *model, double slo_ms) {
    if (!self->levels) control_create(self, model, slo_ms);
    /* after a reload, items in the queue may belong to a model of fewer levels than the model whose load was
     * measured */
    return (outlook){.correction = model->correction,
                     .run_ms = self->run_ms,
                     .margin_ms = control_margin_ms(self, slo_ms),
                     .sustained = size_min(self->sustained, model->level_count - 1)};
}

void control_weigh(arrival *out, const outlook *at, const hosted *model, item *items, size_t count, double slo_ms) {
    size_t levels = size_min(model->level_count, CONTROL_LEVELS);
    *out = (arrival){.run_kept = 1};
    for (size_t i = 0; i < count; i++) {
        item *one = &items[i];
        double run_ms = out->run_kept * at->run_ms + out->run_added;
        one->least_ms = hosted_share_ms(model, at->correction, one->pinned ? one->cap : 0, one->tokens, run_ms);
        out->least_ms += one->least_ms;
        for (size_t j = 0; j < levels; j++)
            out->load[j] +=
                hosted_share_ms(model, at->correction, control_item_level(model, one, j), one->tokens, run_ms);
        if (!(slo_ms > 0)) continue;
        run_time alone = {0};
        hosted_add(model, &alone, at->sustained, one->tokens);
        double worth = STARTS * at->correction.start * alone.start;
        double wanted = fmin(fmax(fmin(RUN_MS, SLO_RUN * slo_ms), worth), MOST_SLO_RUN * slo_ms);
        out->run_kept *= 1 - RUN_LEARNING;
        out->run_added += RUN_LEARNING * (wanted - out->run_added);
    }
}

void control_arrive(control *self, const hosted *model, const arrival *work, double slo_ms, double now_ms) {
    if (self->levels != size_min(model->level_count, CONTROL_LEVELS)) control_create(self, model, slo_ms);
    decay(self, now_ms);
    for (size_t i = 0; i < self->levels; i++) self->load[i] += work->load[i] / self->window_ms;
    self->run_ms = work->run_kept * self->run_ms + work->run_added;
}

void control_sustain(control *self, const hosted *model, double slo_ms, double now_ms) {
    if (!self->levels) control_create(self, model, slo_ms);
    decay(self, now_ms);
    while (self->sustained > 0 && self->load[self->sustained] > FULL_LOAD) {
        self->sustained--;
        self->raised_ms = now_ms; /* so that the level stays for a while */
    }
    if (self->sustained + 1 < self->levels && now_ms - self->raised_ms > RISE_MS &&
        self->load[self->sustained + 1] < LOAD_TO_RISE) {
        self->sustained++;
        self->raised_ms = now_ms;
    }
}

/* Whether every item in the queue meets its deadline at that level. An item is answered when the run that contains it
 * ends. */
static bool in_time(const outlook *at, const hosted *model, item *const *waiting, size_t count, size_t affordable,
                    double now_ms) {
    double done = now_ms, earliest = INFINITY;
    run_time run = {0};
    for (size_t i = 0; i < count; i++) {
        const item *one = waiting[i];
        if (one->owner->model != model) continue;
        hosted_add(model, &run, control_item_level(model, one, affordable), one->tokens);
        earliest = fmin(earliest, one->deadline_ms);
        double run_ms = hosted_run_ms(at->correction, run);
        if (run_ms < at->run_ms && i + 1 < count) continue;
        done += run_ms;
        if (done > earliest) return false;
        run = (run_time){0};
        earliest = INFINITY;
    }
    return done + hosted_run_ms(at->correction, run) <= earliest;
}

size_t control_level(const outlook *at, const hosted *model, item *const *waiting, size_t count, double now_ms) {
    size_t affordable = at->sustained;
    while (affordable > 0 && !in_time(at, model, waiting, count, affordable, now_ms + at->margin_ms)) affordable--;
    return affordable;
}
