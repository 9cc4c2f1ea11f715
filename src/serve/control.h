/* Deadline control: how dear the next answers may be.
 *
 * Two rules, and the cheaper one decides. (1) What waits: the dearest level at which every item in the queue, run in
 * order, meets its deadline. (2) What keeps coming: the dearest level at which the work that arrives, as measured over
 * the last second or so (longer, where more time is promised), does not exceed what the machine does. The first reacts
 * to a burst within a batch; the second keeps a queue from building up at all under steady load, and rises slowly so
 * that the level does not swing. */
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
} control;

/* Accounts for an arriving item. `slo_ms`: what is promised; 0 for nothing. */
void control_arrive(control *self, const hosted *model, const item *one, double slo_ms, double now_ms);

/* The level for what waits, from `first` on in order, when runs take about `run_ms`; `margin_ms` is kept for everything
 * outside of the model. */
size_t control_level(control *self, const hosted *model, const item *first, double now_ms, double run_ms,
                     double margin_ms);

/* Level of an item when the machine can afford `affordable`. */
size_t control_item_level(const hosted *model, const item *one, size_t affordable);

#endif
