/* Deadline control: chooses the operating point (the level) of the next answers, and the length of a run.
 *
 * Two rules give a level each, and the cheaper level is used. (1) The queue: the dearest level at which every item in
 * the queue, run in order, meets its deadline. (2) The load: the dearest level at which the work that arrives does not
 * exceed the speed of the machine. The load is measured over the last second or so, and longer where more time is
 * promised. The first rule reacts to a burst within a batch. The second keeps a queue from building up under steady
 * load; it rises slowly, so that the level does not swing.
 *
 * No cost model can predict another process or a slow network thread. A margin covers these, and it follows the
 * answers: each late answer widens it, and each timely one narrows it a little, so that it settles where some one
 * answer in a hundred is late. */
#ifndef RUBATO_SERVE_CONTROL_H
#define RUBATO_SERVE_CONTROL_H

#include "serve/queue.h"

enum { CONTROL_LEVELS = 256 };

typedef struct control {
    double window_ms;            /* over which the load is averaged */
    double last_ms;              /* when the load was updated */
    double load[CONTROL_LEVELS]; /* ms of work that arrive in one ms, if all of it is done at that level */
    size_t sustained;            /* the level of rule 2 */
    double raised_ms;            /* when `sustained` last changed */
    size_t chosen;               /* the level of both rules */
    size_t levels;               /* 0: no item has arrived yet */
    double run_ms;               /* the length of a run: long enough to be efficient, no longer */
    double learned_ms;           /* the learned part of the margin */
} control;

/* The state before the first item. `slo_ms`, here and below, is the promised time; 0: no promise. */
void control_create(control *self, const hosted *model, double slo_ms);

/* The time that is reserved for everything outside of the model. */
double control_margin_ms(const control *self, double slo_ms);

/* The data for predictions about a control and its model. It is copied under the queue's lock, so that the predictions
 * for waiting or arriving items are made without the lock. */
typedef struct outlook {
    run_time correction;
    double run_ms, margin_ms;
    size_t sustained; /* limited to the levels of the model */
} outlook;

outlook control_look(control *self, const hosted *model, double slo_ms);

/* The work of items that arrive together. */
typedef struct arrival {
    double load[CONTROL_LEVELS]; /* ms, if all of it is done at that level */
    double least_ms;             /* ms at the cheapest levels that the items allow */
    double run_kept, run_added;  /* for control.run_ms: the share that stays, and the addition */
} arrival;

/* Computes the work of items, and sets their least_ms. */
void control_weigh(arrival *out, const outlook *at, const hosted *model, item *items, size_t count, double slo_ms);

/* Accounts for an arrival, and for an answered item; with the queue's lock held. */
void control_arrive(control *self, const hosted *model, const arrival *work, double slo_ms, double now_ms);
void control_answer(control *self, double deadline_ms, double slo_ms, double now_ms);

/* Updates rule 2; with the lock held, before control_look. */
void control_sustain(control *self, const hosted *model, double slo_ms, double now_ms);

/* The level for the waiting items, in order. */
size_t control_level(const outlook *at, const hosted *model, item *const *waiting, size_t count, double now_ms);

/* The level of an item when `affordable` is the dearest level that the machine can afford. */
size_t control_item_level(const hosted *model, const item *one, size_t affordable);

#endif
