/* The data that the server's parts share. */
#ifndef RUBATO_SERVE_SERVER_H
#define RUBATO_SERVE_SERVER_H

#include "serve/control.h"
#include "serve/exchange.h"
#include "serve/metrics.h"
#include "serve/signals.h"

enum { MOST_MODELS = 64 };

typedef struct selection selection; /* dispatcher.c */

struct server {
    serve_options options; /* defaults filled in */
    pthread_mutex_t models_lock;
    hosted *models[MOST_MODELS]; /* a reload replaces them */
    size_t model_count;
    control controls[MOST_MODELS]; /* by hosted.slot; under the queue's lock */
    queue queue;
    selection *selection;    /* the dispatcher's */
    double busy_until_ms;    /* the expected end of the running batch; under the queue's lock */
    atomic_size_t accepted;  /* items accepted and not done */
    atomic_size_t suspended; /* connections that wait for the dispatcher or a reader */
    atomic_bool stopping;    /* the server takes no new connections */
    atomic_bool giving_up;   /* what is accepted and not answered yet is refused */
    signals signals;
    metrics metrics;
    double started; /* seconds since 1970 */
};

/* The model of that name; with name NULL the first model that does this kind of work (WORK_ANY: the first of all). The
 * caller gets a use. NULL when there is none. */
hosted *server_model(server *self, const char *name, work_kind kind);

/* Whether a model can do that kind of work, or rank in that manner. */
bool hosted_does(const hosted *self, work_kind kind);

/* Why no model uses tiles; "" where one does. The caller holds models_lock, or is alone. */
const char *server_no_tiles(const server *self);

/* The dispatcher's memory, for the options' max_queue. The caller destroys it after a failure as well. */
rubato_status dispatcher_create(server *self, rubato_error *error);
void dispatcher_destroy(server *self);

/* The dispatcher's thread: runs items until the queue is closed and empty. */
void *dispatcher_run(void *server);

/* Writes one line for a request to the log. */
void journal_exchange(const exchange *e, int status);

/* The routes; the table ends with a NULL path. */
extern const route routes[];

#endif
