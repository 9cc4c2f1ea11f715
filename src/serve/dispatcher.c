/* The dispatcher: takes from the queue what runs together, decides at which point, runs it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "serve/results.h"
#include "serve/server.h"

static const double RUN_MS = 40;         /* how long a run should be: long enough to be efficient, no longer */
static const double SLO_RUNS = 4;        /* runs that fit into the promised time */
static const double LEAST_MARGIN_MS = 3; /* kept for everything outside of the model */
static const double SLO_MARGIN = 0.15;
static const double LEARNING = 0.1; /* share of a run's measured/predicted in the correction */

enum { MOST_ITEMS = 1024 };

typedef struct selection {
    item *items[MOST_ITEMS];
    size_t levels[MOST_ITEMS];
    size_t count, tokens;
    hosted *model;
    double predicted_ms; /* without the correction */
} selection;

/* Whether two items can be parts of one call. */
static bool alike(const exchange *a, const exchange *b) {
    const rubato_options *x = &a->options, *y = &b->options;
    return a == b || (a->model == b->model && a->kind == b->kind && x->prompt == y->prompt &&
                      x->text.max_length == y->text.max_length && x->text.cut_left == y->text.cut_left &&
                      x->text.stride == y->text.stride && x->text.truncation == y->text.truncation);
}

static double run_ms(const server *self) {
    double slo = self->options.slo_ms;
    return slo > 0 ? fmin(RUN_MS, slo / SLO_RUNS) : RUN_MS;
}

/* Gives an item up without running it. */
static void drop(server *self, item *one, int status, const char *type, const char *message) {
    exchange *owner = one->owner;
    queue_remove(&self->queue, one);
    one->begun_ms = clock_ms();
    if (status == 499) owner->failure = "dropped";
    exchange_fail(owner, status, type, "%s", message);
    exchange_item_done(owner);
}

/* Removes what nobody waits for any more from the head of the queue; NULL when nothing is left. */
static item *first_alive(server *self, double now) {
    item *one;
    while ((one = self->queue.first)) {
        if (exchange_failed(one->owner))
            drop(self, one, 424, "Backend", "another text of the request failed");
        else if (exchange_is_gone(one->owner))
            drop(self, one, 499, "Overloaded", "the client has gone");
        else if (now > one->deadline_ms)
            drop(self, one, 504, "Overloaded", "the deadline passed while the request was queued");
        else
            return one;
    }
    return NULL;
}

/* What runs next; with the queue's lock held. */
static void select_items(server *self, selection *out) {
    double now = clock_ms(), most_ms = run_ms(self);
    out->count = out->tokens = 0;
    out->predicted_ms = 0;
    item *first = first_alive(self, now);
    if (!first) return;
    hosted *model = out->model = first->owner->model;
    double margin = fmax(LEAST_MARGIN_MS, SLO_MARGIN * self->options.slo_ms);
    size_t affordable = model->level_count - 1;
    if (self->options.slo_ms > 0 || isfinite(first->deadline_ms))
        affordable = control_level(&self->controls[model->slot], model, first, now, most_ms, margin);
    item *next;
    for (item *one = first; one && out->count < MOST_ITEMS; one = next) {
        next = one->next;
        if (one != first && (!alike(first->owner, one->owner) || exchange_failed(one->owner))) continue;
        if (one != first && exchange_is_gone(one->owner)) {
            drop(self, one, 499, "Overloaded", "the client has gone");
            continue;
        }
        size_t at = control_item_level(model, one, affordable);
        double ms = hosted_ms(model, at, one->tokens, false);
        if (out->count && (out->tokens + one->tokens > self->options.max_batch_tokens ||
                           model->correction * (out->predicted_ms + ms) > most_ms))
            break;
        queue_remove(&self->queue, one);
        self->queue.virtual_time = fmax(self->queue.virtual_time, one->place);
        one->begun_ms = now;
        out->levels[out->count] = at;
        out->items[out->count++] = one;
        out->tokens += one->tokens;
        out->predicted_ms += ms;
    }
    if (out->count == 1) out->predicted_ms = hosted_ms(model, out->levels[0], out->items[0]->tokens, true);
    self->busy_until_ms = now + model->correction * out->predicted_ms;
}

/* Runs items at one level; where a call of several fails, each by itself, so that one bad text harms no other. */
static void run_call(server *self, hosted *model, item **items, size_t count, size_t at) {
    rubato_error error = {0};
    rubato_status status = results_run(model, items, count, model->levels[at].budget, &error);
    if (status != RUBATO_OK && count > 1) {
        for (size_t i = 0; i < count; i++) run_call(self, model, &items[i], 1, at);
        return;
    }
    atomic_fetch_add(&model->levels[at].texts, count);
    for (size_t i = 0; i < count; i++) {
        metrics_input(&self->metrics, items[i]->tokens);
        if (status != RUBATO_OK) exchange_fail_with(items[i]->owner, status, &error);
        exchange_item_done(items[i]->owner);
    }
}

static void run_selection(server *self, selection *chosen) {
    hosted *model = hosted_use(chosen->model); /* the exchanges' uses end with their last item */
    double begin = clock_ms();
    item *group[MOST_ITEMS];
    for (size_t at = 0; at < model->level_count; at++) {
        size_t count = 0;
        for (size_t i = 0; i < chosen->count; i++)
            if (chosen->levels[i] == at) group[count++] = chosen->items[i];
        if (count) run_call(self, model, group, count, at);
    }
    double measured = clock_ms() - begin, ratio = measured / fmax(chosen->predicted_ms, 1e-3);
    pthread_mutex_lock(&self->queue.lock);
    double predicted = model->correction * chosen->predicted_ms;
    model->correction += LEARNING * (fmin(fmax(ratio, 0.2), 5) - model->correction);
    self->busy_until_ms = 0;
    pthread_mutex_unlock(&self->queue.lock);
    metrics_run(&self->metrics, chosen->count, chosen->tokens, predicted, measured);
    hosted_release(model);
}

void *dispatcher_run(void *user) {
    server *self = user;
    selection *chosen = calloc(1, sizeof *chosen);
    pthread_mutex_lock(&self->queue.lock);
    while (chosen) {
        while (!self->queue.first && !self->queue.closed) pthread_cond_wait(&self->queue.more, &self->queue.lock);
        if (!self->queue.first) break;
        select_items(self, chosen);
        pthread_mutex_unlock(&self->queue.lock);
        if (chosen->count) run_selection(self, chosen);
        pthread_mutex_lock(&self->queue.lock);
    }
    pthread_mutex_unlock(&self->queue.lock);
    free(chosen);
    return NULL;
}
