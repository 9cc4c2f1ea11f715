/* What the server's parts share. */
#ifndef RUBATO_SERVE_SERVER_H
#define RUBATO_SERVE_SERVER_H

#include "serve/control.h"
#include "serve/exchange.h"
#include "serve/metrics.h"

enum { MOST_MODELS = 64 };

struct server {
    serve_options options; /* defaults filled in */
    pthread_mutex_t models_lock;
    hosted *models[MOST_MODELS]; /* replaced on reload */
    size_t model_count;
    control controls[MOST_MODELS]; /* by hosted.slot; under the queue's lock */
    queue queue;
    double busy_until_ms;   /* when the running batch should end; under the queue's lock */
    atomic_size_t accepted; /* items accepted and not done */
    atomic_bool stopping;   /* refuses new work */
    metrics metrics;
    long long started; /* seconds since 1970 */
};

/* The model of that name, or with NULL the first one that does what is asked (WORK_ANY: whichever is first). Comes
 * with a use. NULL when there is none. */
hosted *server_model(server *self, const char *name, work_kind kind);

/* Whether a model can do that. */
bool hosted_does(const hosted *self, work_kind kind);

/* The dispatcher's thread: runs what is queued until the queue is closed and empty. */
void *dispatcher_run(void *server);

/* One line a request. */
void journal_exchange(const exchange *e, int status);

/* The routes, in a table that ends with a NULL path. */
extern const route routes[];

#endif
