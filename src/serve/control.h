/* Deadline control: how dear the next answers may be, and how long a run.
 *
 * Two rules, and the cheaper one decides. (1) What waits: the dearest level at which every item in the queue, run in
 * order, meets its deadline. (2) What keeps coming: the dearest level at which the work that arrives, as measured over
 * the last second or so (longer, where more time is promised), does not exceed what the machine does. The first reacts
 * to a burst within a batch; the second keeps a queue from building up at all under steady load, and rises slowly so
 * that the level does not swing.
 *
 * What no model of costs foresees (another process, a slow network thread) is covered by a margin that follows the
 * answers themselves: each late one widens it, each timely one narrows it a little, so that it settles where one in
 * some hundred is late. */
#ifndef RUBATO_SERVE_CONTROL_H
#define RUBATO_SERVE_CONTROL_H

#include "serve/queue.h"

enum { CONTROL_LEVELS = 256 };

typedef struct control {
    double window_ms;            /* over which the load is averaged */
    double last_ms;              /* when it was brought up to date */
    double load[CONTROL_LEVELS]; /* ms of work that arrive a ms, were all of it done at that level */
    size_t sustained;            /* by rule 2 */
    double raised_ms;            /* when that last rose */
    size_t chosen;               /* by both */
    size_t levels;               /* 0: nothing seen yet */
    double run_ms;               /* how long a run should be: long enough to be efficient, no longer */
    double learned_ms;           /* of the margin */
} control;

/* With nothing seen yet. `slo_ms` here and below: what is promised; 0 for nothing. */
void control_create(control *self, const hosted *model, double slo_ms);

/* What is kept for everything outside of the model. */
double control_margin_ms(const control *self, double slo_ms);

/* Accounts for an arriving item, and for one that was answered. */
void control_arrive(control *self, const hosted *model, const item *one, double slo_ms, double now_ms);
void control_answer(control *self, double deadline_ms, double slo_ms, double now_ms);

/* The level for what waits, from `first` on in order. */
size_t control_level(control *self, const hosted *model, const item *first, double slo_ms, double now_ms);

/* Level of an item when the machine can afford `affordable`. */
size_t control_item_level(const hosted *model, const item *one, size_t affordable);

#endif
