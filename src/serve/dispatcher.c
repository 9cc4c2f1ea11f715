/* The dispatcher: takes items that can run together from the queue, chooses their operating points, and runs them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "serve/results.h"
#include "serve/server.h"

enum { MOST_ITEMS = 1024 };

/* The reason for which an item is dropped. */
typedef struct reason {
    int status;
    const char *type, *message;
} reason;

static const reason FAILED = {424, "Backend", "another text of the request failed"},
                    GONE = {499, "Overloaded", "the client has gone"},
                    LATE = {504, "Overloaded", "the deadline passed while the request was queued"},
                    STOPPED = {503, NULL, NULL};

/* The items of the next run, chosen from a copy of the queue. Only the dispatcher removes items from the queue, and the
 * members that it reads of items and their exchanges do not change while they wait. Therefore only copying and removing
 * need the lock. */
struct selection {
    item **waiting; /* [options.max_queue] the queue in order */
    size_t waiting_count;
    item **dropped; /* [options.max_queue] */
    const reason **reasons;
    size_t dropped_count;
    item *items[MOST_ITEMS];
    size_t levels[MOST_ITEMS];
    double deadlines[MOST_ITEMS]; /* a copy: the items may be gone when the run has ended */
    size_t count, tokens;
    hosted *model;
    size_t affordable; /* the level, where a time is promised; SIZE_MAX: no promise */
    run_time predicted;
    double predicted_ms;
};

static bool same_text(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Whether two items can be parts of one call. All other options are in their encodings already. */
static bool alike(const exchange *a, const exchange *b) {
    return a == b || (a->model == b->model && a->kind == b->kind && a->options.prompt == b->options.prompt &&
                      same_text(a->options.aggregation, b->options.aggregation) &&
                      same_text(a->options.ignore_labels, b->options.ignore_labels));
}

static void drop(selection *out, item *one, const reason *why) {
    out->dropped[out->dropped_count] = one;
    out->reasons[out->dropped_count++] = why;
}

/* The index of the first item whose client still waits; the items before it are dropped. */
static size_t first_alive(const server *self, selection *out, double now) {
    for (size_t i = 0; i < out->waiting_count; i++) {
        item *one = out->waiting[i];
        if (atomic_load(&self->giving_up))
            drop(out, one, &STOPPED);
        else if (exchange_failed(one->owner))
            drop(out, one, &FAILED);
        else if (exchange_is_gone(one->owner))
            drop(out, one, &GONE);
        else if (now > one->deadline_ms)
            drop(out, one, &LATE);
        else
            return i;
    }
    return out->waiting_count;
}

/* Chooses items of the copied queue for the next run, and their levels. */
static void choose(server *self, selection *out, double now) {
    size_t first = first_alive(self, out, now);
    if (first == out->waiting_count) return;
    item *const *waiting = out->waiting + first;
    size_t count = out->waiting_count - first;
    hosted *model = out->model = waiting[0]->owner->model;
    double slo = self->options.slo_ms;
    control *rule = &self->controls[model->slot];
    bool limited = slo > 0 || isfinite(waiting[0]->deadline_ms);
    pthread_mutex_lock(&self->queue.lock);
    if (limited) control_sustain(rule, model, slo, now);
    const outlook at = control_look(rule, model, slo);
    pthread_mutex_unlock(&self->queue.lock);
    size_t affordable = limited ? control_level(&at, model, waiting, count, now) : model->level_count - 1;
    for (size_t i = 0; i < count && out->count < MOST_ITEMS; i++) {
        item *one = waiting[i];
        if (i && (!alike(waiting[0]->owner, one->owner) || exchange_failed(one->owner))) continue;
        if (i && exchange_is_gone(one->owner)) {
            drop(out, one, &GONE);
            continue;
        }
        size_t reached = control_item_level(model, one, affordable);
        run_time with = out->predicted;
        hosted_add(model, &with, reached, one->tokens);
        if (out->count && (out->tokens + one->tokens > self->options.max_batch_tokens ||
                           hosted_run_ms(at.correction, with) > at.run_ms))
            break;
        out->levels[out->count] = reached;
        out->deadlines[out->count] = one->deadline_ms;
        out->items[out->count++] = one;
        out->tokens += one->tokens;
        out->predicted = with;
    }
    out->affordable = limited ? affordable : SIZE_MAX;
    out->predicted_ms = hosted_run_ms(at.correction, out->predicted);
}

/* Removes the chosen and the dropped items from the queue; with its lock held. */
static void leave(server *self, const selection *chosen, double now) {
    queue *from = &self->queue;
    for (size_t i = 0; i < chosen->dropped_count; i++) queue_remove(from, chosen->dropped[i]);
    for (size_t i = 0; i < chosen->count; i++) {
        queue_remove(from, chosen->items[i]);
        from->virtual_time = fmax(from->virtual_time, chosen->items[i]->place);
        chosen->items[i]->begun_ms = now;
    }
    if (!chosen->count) return;
    self->busy_until_ms = now + chosen->predicted_ms;
    if (chosen->affordable != SIZE_MAX) self->controls[chosen->model->slot].chosen = chosen->affordable;
}

/* Answers the dropped items. */
static void give_up(const selection *chosen) {
    for (size_t i = 0; i < chosen->dropped_count; i++) {
        exchange *owner = chosen->dropped[i]->owner;
        const reason *why = chosen->reasons[i];
        chosen->dropped[i]->begun_ms = clock_ms();
        if (why == &GONE) owner->failure = "dropped";
        if (why == &STOPPED)
            exchange_give_up(owner);
        else
            exchange_fail(owner, why->status, why->type, "%s", why->message);
        exchange_item_done(owner);
    }
}

/* Runs items at one level. Where a call with several items fails, each is run by itself, so that one bad text harms no
 * other. */
static void run_call(server *self, hosted *model, item **items, size_t count, size_t at) {
    rubato_error error = {0};
    rubato_status status = results_run(model, items, count, model->levels[at].budget, &error);
    if (status != RUBATO_OK && status != RUBATO_CANCELLED && count > 1) {
        for (size_t i = 0; i < count; i++) run_call(self, model, &items[i], 1, at);
        return;
    }
    if (status == RUBATO_OK) atomic_fetch_add(&model->levels[at].texts, count);
    for (size_t i = 0; i < count; i++) {
        if (status == RUBATO_OK) metrics_input(&self->metrics, items[i]->tokens);
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
    double predicted = hosted_run_ms(model->correction, chosen->predicted);
    hosted_learn(model, chosen->predicted, measured);
    self->busy_until_ms = 0;
    for (size_t i = 0; i < chosen->count; i++)
        control_answer(&self->controls[model->slot], chosen->deadlines[i], self->options.slo_ms, end);
    pthread_mutex_unlock(&self->queue.lock);
    metrics_run(&self->metrics, chosen->count, chosen->tokens, predicted, measured);
    hosted_release(model);
}

rubato_status dispatcher_create(server *self, rubato_error *error) {
    size_t most = self->options.max_queue;
    selection *made = calloc(1, sizeof *made);
    if (!made) return fail_memory(error);
    made->waiting = calloc(most, sizeof *made->waiting);
    made->dropped = calloc(most, sizeof *made->dropped);
    made->reasons = calloc(most, sizeof *made->reasons);
    self->selection = made;
    return made->waiting && made->dropped && made->reasons ? RUBATO_OK : fail_memory(error);
}

void dispatcher_destroy(server *self) {
    selection *chosen = self->selection;
    if (!chosen) return;
    free(chosen->waiting);
    free(chosen->dropped);
    free(chosen->reasons);
    free(chosen);
    self->selection = NULL;
}

/* Copies the queue when it has an item; false when no more items come. */
static bool await(queue *from, selection *out) {
    out->waiting_count = out->dropped_count = out->count = out->tokens = 0;
    out->predicted = (run_time){0};
    pthread_mutex_lock(&from->lock);
    while (!from->first && !from->closed) pthread_cond_wait(&from->more, &from->lock);
    for (item *one = from->first; one; one = one->next) out->waiting[out->waiting_count++] = one;
    pthread_mutex_unlock(&from->lock);
    return out->waiting_count > 0;
}

void *dispatcher_run(void *user) {
    server *self = user;
    selection *chosen = self->selection;
    while (await(&self->queue, chosen)) {
        double now = clock_ms();
        choose(self, chosen, now);
        pthread_mutex_lock(&self->queue.lock);
        leave(self, chosen, now);
        pthread_mutex_unlock(&self->queue.lock);
        give_up(chosen);
        if (chosen->count) run_selection(self, chosen);
    }
    return NULL;
}
