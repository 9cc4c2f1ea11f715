/* What waits to be run: texts ("items") in the order of fair shares.
 *
 * An item's place is the virtual time at its arrival plus the tokens of its own request up to and including it, and
 * virtual time is the place of what was taken last: self-clocked fair queueing (Golestani 1994). A short request passes
 * the rest of a long one, and nothing waits for ever. */
#ifndef RUBATO_SERVE_QUEUE_H
#define RUBATO_SERVE_QUEUE_H

#include <pthread.h>

#include "base/text_buffer.h"
#include "serve/hosted.h"

typedef struct exchange exchange;

/* One text or pair on its way. Belongs to its exchange. */
typedef struct item {
    exchange *owner;
    rubato_input input;
    char *own_text;                           /* where the text is not part of the request */
    size_t tokens, cut;                       /* after truncation; truncated away */
    size_t cap;                               /* the dearest level that the request allows */
    bool pinned;                              /* at exactly that level */
    double place;                             /* in virtual time */
    double least_ms;                          /* at the cheapest level that the request allows */
    double arrived_ms, begun_ms, deadline_ms; /* on clock_ms's clock; INFINITY without a deadline */
    float *values;                            /* what comes out where that is numbers: embeddings, scores */
    text_buffer result;                       /* and where it is more: JSON */
    rubato_cost cost;
    struct item *next, *previous;
} item;

typedef struct queue {
    pthread_mutex_t lock;
    pthread_cond_t more;
    item *first, *last;
    size_t count, tokens;
    double least_ms; /* sum of the items' */
    double virtual_time;
    bool closed; /* nothing more comes: the dispatcher ends when it is empty */
} queue;

void queue_create(queue *self);
void queue_destroy(queue *self);

/* With the lock held. */
void queue_insert(queue *self, item *one);
void queue_remove(queue *self, item *one);

#endif
