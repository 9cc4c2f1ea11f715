/* The dispatcher: takes items that can run together from the queue, chooses their operating points, and runs them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "serve/results.h"
#include "serve/server.h"

enum { MOST_ITEMS = 1024 };

typedef struct selection {
    item *items[MOST_ITEMS];
    size_t levels[MOST_ITEMS];
    double deadlines[MOST_ITEMS]; /* a copy: the items may be gone when the run has ended */
    size_t count, tokens;
    hosted *model;
    run_time predicted;
} selection;

/* Whether two items can be parts of one call. What else their options say is in their encodings. */
static bool alike(const exchange *a, const exchange *b) {
    return a == b || (a->model == b->model && a->kind == b->kind && a->options.prompt == b->options.prompt);
}

/* Answers an item with an error instead of running it. */
static void drop(server *self, item *one, int status, const char *type, const char *message) {
    exchange *owner = one->owner;
    queue_remove(&self->queue, one);
    one->begun_ms = clock_ms();
    if (status == 499) owner->failure = "dropped";
    exchange_fail(owner, status, type, "%s", message);
    exchange_item_done(owner);
}

/* The first item of the queue whose client still waits; earlier items are dropped. NULL when none is left. */
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

/* Selects the items of the next run; with the queue's lock held. */
static void select_items(server *self, selection *out) {
    double now = clock_ms(), slo = self->options.slo_ms;
    out->count = out->tokens = 0;
    out->predicted = (run_time){0};
    item *first = first_alive(self, now);
    if (!first) return;
    hosted *model = out->model = first->owner->model;
    size_t affordable = model->level_count - 1;
    control *rule = &self->controls[model->slot];
    if (slo > 0 || isfinite(first->deadline_ms)) affordable = control_level(rule, model, first, slo, now);
    item *next;
    for (item *one = first; one && out->count < MOST_ITEMS; one = next) {
        next = one->next;
        if (one != first && (!alike(first->owner, one->owner) || exchange_failed(one->owner))) continue;
        if (one != first && exchange_is_gone(one->owner)) {
            drop(self, one, 499, "Overloaded", "the client has gone");
            continue;
        }
        size_t at = control_item_level(model, one, affordable);
        run_time with = out->predicted;
        hosted_add(model, &with, at, one->tokens);
        if (out->count &&
            (out->tokens + one->tokens > self->options.max_batch_tokens || hosted_run_ms(model, with) > rule->run_ms))
            break;
        queue_remove(&self->queue, one);
        self->queue.virtual_time = fmax(self->queue.virtual_time, one->place);
        one->begun_ms = now;
        out->levels[out->count] = at;
        out->deadlines[out->count] = one->deadline_ms;
        out->items[out->count++] = one;
        out->tokens += one->tokens;
        out->predicted = with;
    }
    self->busy_until_ms = now + hosted_run_ms(model, out->predicted);
}

/* Runs items at one level. Where a call with several items fails, each is run by itself, so that one bad text harms no
 * other. */
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
    hosted *model = hosted_use(chosen->model); /* the exchanges' own uses end with their last items */
    double begin = clock_ms();
    item *group[MOST_ITEMS];
    for (size_t at = 0; at < model->level_count; at++) {
        size_t count = 0;
        for (size_t i = 0; i < chosen->count; i++)
            if (chosen->levels[i] == at) group[count++] = chosen->items[i];
        if (count) run_call(self, model, group, count, at);
    }
    double end = clock_ms(), measured = end - begin;
    pthread_mutex_lock(&self->queue.lock);
    double predicted = hosted_run_ms(model, chosen->predicted);
    hosted_learn(model, chosen->predicted, measured);
    self->busy_until_ms = 0;
    for (size_t i = 0; i < chosen->count; i++)
        control_answer(&self->controls[model->slot], chosen->deadlines[i], self->options.slo_ms, end);
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
