/* The queue: texts ("items") that wait for a run, in the order of fair shares.
 *
 * The place of an item is the virtual time at its arrival plus the tokens of its own request up to and including it.
 * Virtual time is the place of the item that was taken last (self-clocked fair queueing, Golestani 1994). So a short
 * request passes the rest of a long one, and no item waits for ever. */
#ifndef RUBATO_SERVE_QUEUE_H
#define RUBATO_SERVE_QUEUE_H

#include <pthread.h>
#include <stdint.h>

#include "base/text_buffer.h"
#include "serve/hosted.h"

typedef struct exchange exchange;

#define WHOLE_FIELD SIZE_MAX

/* One text or pair that waits or runs. It belongs to its exchange. */
typedef struct item {
    exchange *owner;
    rubato_input input;
    rubato_encoding *encoding;                /* of the input, by the options of its work */
    char *own_text;                           /* set where the text is not a part of the request */
    const char *field;                        /* the request's field that has the text, for messages */
    size_t index;                             /* of the text in that field; WHOLE_FIELD: the field is the text */
    size_t tokens, cut;                       /* tokens after truncation; tokens truncated away */
    size_t cap;                               /* the dearest level that the request allows */
    bool pinned;                              /* runs at exactly that level */
    double place;                             /* in virtual time */
    double least_ms;                          /* the time at the cheapest level that the request allows */
    double arrived_ms, begun_ms, deadline_ms; /* on clock_ms's clock; INFINITY without a deadline */
    float *values;                            /* the result where it is numbers: embeddings, scores */
    text_buffer result;                       /* the result where it is JSON */
    rubato_cost cost;                         /* without rows */
    struct item *next, *previous;
} item;

typedef struct queue {
    pthread_mutex_t lock;
    pthread_cond_t more;
    item *first, *last;
    size_t count, tokens;
    double least_ms; /* sum of the items' */
    double virtual_time;
    bool closed; /* no more items come: the dispatcher ends when the queue is empty */
} queue;

void queue_create(queue *self);
void queue_destroy(queue *self);

/* The caller holds the lock. */
void queue_insert(queue *self, item *one);
void queue_remove(queue *self, item *one);

#endif
