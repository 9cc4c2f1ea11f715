/* Starting, reloading and stopping. */
#define _GNU_SOURCE
#include "serve/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/threads.h"
#include "serve/http.h"

enum {
    FINISH_MS = 20000, /* when stopping, accepted requests are answered within this time, or given up; less than the 30
                          s after which Kubernetes kills */
    LINGER_MS = 500,   /* when stopping: the time for one more request of an open connection, which closes it */
    LOOK_MS = 1000     /* the time between two looks at the models' files */
};

/* ---- Models ---- */

bool hosted_does(const hosted *self, work_kind kind) {
    rubato_task task = self->info->task;
    size_t label;
    bool plain = task == RUBATO_TASK_EMBEDDING || task == RUBATO_TASK_MLM || task == RUBATO_TASK_NSP;
    switch (kind) {
    case WORK_EMBED: return plain;
    case WORK_SCORES:
        return task == RUBATO_TASK_CLASSIFICATION || task == RUBATO_TASK_REGRESSION || task == RUBATO_TASK_NSP;
    case WORK_TAG: return task == RUBATO_TASK_TAGGING;
    case WORK_ANSWER: return task == RUBATO_TASK_QA;
    case WORK_FILL: return task == RUBATO_TASK_MLM;
    case WORK_RANK_PAIRS: return self->info->ranks && task != RUBATO_TASK_EMBEDDING;
    case WORK_RANK_VECTORS: return self->info->ranks && task == RUBATO_TASK_EMBEDDING;
    case WORK_ENTAIL:
        return hosted_does(self, WORK_SCORES) && rubato_entailment(self->model, &label, NULL) == RUBATO_OK;
    default: return true;
    }
}

hosted *server_model(server *self, const char *name, work_kind kind) {
    hosted *found = NULL;
    pthread_mutex_lock(&self->models_lock);
    for (size_t i = 0; i < self->model_count && !found; i++) {
        hosted *one = self->models[i];
        if (name ? strcmp(one->name, name) == 0 : hosted_does(one, kind)) found = hosted_use(one);
    }
    pthread_mutex_unlock(&self->models_lock);
    return found;
}

/* Loads the model of that place in the options. */
static rubato_status load_model(server *self, size_t slot, hosted **out, rubato_error *error) {
    const serve_options *options = &self->options;
    hosted *one;
    size_t index;
    *out = NULL;
    TRY(hosted_load(&one, options->models[slot], options, options->slo_ms > 0, &self->signals.stops, error));
    rubato_status status =
        options->budget ? rubato_choose_point(one->context, options->budget, 64, &index, error) : RUBATO_OK;
    one->slot = slot;
    for (size_t i = 0; i < one->info->warning_count && !options->silent; i++)
        fprintf(stderr, "rubato: warning: %s: %s\n", one->name, one->info->warnings[i]);
    if (status == RUBATO_OK)
        *out = one;
    else
        hosted_release(one);
    return status;
}

static rubato_status load_models(server *self, rubato_error *error) {
    const serve_options *options = &self->options;
    if (options->model_count > MOST_MODELS)
        return fail(error, RUBATO_BAD_ARGUMENT, "%zu models; one process serves at most %d", options->model_count,
                    MOST_MODELS);
    for (size_t i = 0; i < options->model_count; i++) {
        hosted *one;
        TRY(load_model(self, i, &one, error));
        for (size_t j = 0; j < i; j++)
            if (strcmp(self->models[j]->name, one->name) == 0) {
                rubato_status status =
                    fail(error, RUBATO_BAD_ARGUMENT, "two models of the name \"%s\"; use NAME=MODEL", one->name);
                hosted_release(one);
                return status;
            }
        self->models[self->model_count++] = one;
    }
    return RUBATO_OK;
}

/* Loads the models again. Requests in progress keep the model with which they began. Where a model cannot be loaded,
 * the old one stays. */
static void reload_models(server *self) {
    for (size_t i = 0; i < self->model_count; i++) {
        hosted *fresh, *old;
        rubato_error error;
        rubato_status status = load_model(self, i, &fresh, &error);
        if (status == RUBATO_CANCELLED) return;
        if (status != RUBATO_OK) {
            fprintf(stderr, "rubato: reload of %s failed, the loaded one stays: %s\n", self->models[i]->name,
                    error.message);
            continue;
        }
        pthread_mutex_lock(&self->models_lock);
        old = self->models[i];
        pthread_mutex_lock(&self->queue.lock);
        fresh->correction = old->correction;
        pthread_mutex_unlock(&self->queue.lock);
        self->models[i] = fresh;
        pthread_mutex_unlock(&self->models_lock);
        hosted_release(old);
        fprintf(stderr, "rubato: reloaded %s\n", fresh->name);
    }
}

/* Says it once when a model's files are no longer those that were loaded. */
static void notice_changes(server *self) {
    for (size_t i = 0; i < self->model_count; i++) {
        char name[160];
        if (hosted_has_changed(self->models[i], name, sizeof name))
            fprintf(stderr,
                    "rubato: %s: %s was changed; answers still come from the model as it was loaded; reload with "
                    "kill -HUP %ld\n",
                    self->models[i]->name, name, (long)getpid());
    }
}

/* ---- Running ---- */

static void fill_defaults(serve_options *options) {
    if (!options->host) options->host = "127.0.0.1";
    if (!options->max_batch_tokens) options->max_batch_tokens = 16384;
    if (!options->max_queue) options->max_queue = 512;
    if (!options->max_client_batch) options->max_client_batch = 32;
    if (!options->max_body) options->max_body = 2000000;
    if (!options->max_connections) options->max_connections = 4096;
    if (!(options->client_ms > 0)) options->client_ms = 60000;
    if (!options->threads) options->threads = threads_available();
}

/* Raises the limit of open descriptors, because each connection is one. */
static void raise_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* Whether others than this machine can reach an address. */
static bool is_open(const char *host) {
    return strncmp(host, "127.", 4) != 0 && strcmp(host, "::1") != 0 && strcmp(host, "localhost") != 0;
}

const char *server_no_tiles(const server *self) {
    for (size_t i = 1; i < self->model_count; i++)
        if (!*rubato_context_no_tiles(self->models[i]->context)) return "";
    return rubato_context_no_tiles(self->models[0]->context);
}

static void say_ready(const server *self, unsigned port, double begin_ms) {
    fprintf(stderr, "rubato: serving");
    for (size_t i = 0; i < self->model_count; i++)
        fprintf(stderr, "%s %s in %s", i ? "," : "", self->models[i]->name, self->models[i]->info->precision);
    const char *no_tiles = server_no_tiles(self);
    fprintf(stderr, " on %s://%s:%u after %.0f ms (kernels: %s%s%s; %zu thread%s)\n",
            self->options.tls_cert ? "https" : "http", self->options.host, port, clock_ms() - begin_ms,
            rubato_isa_words(rubato_context_isa(self->models[0]->context)), *no_tiles ? "; no tiles: " : "", no_tiles,
            self->options.threads, self->options.threads == 1 ? "" : "s");
    if (!is_open(self->options.host))
        fprintf(stderr, "rubato: only this machine reaches it; --host 0.0.0.0 opens it to others\n");
    else if (!self->options.api_key)
        fprintf(stderr, "rubato: everyone who reaches this address is answered; --api-key KEY asks for a key\n");
}

/* Serves until a signal asks to stop; reloads the models at SIGHUP. */
static void serve_on(server *self) {
    signals *from = &self->signals;
    while (atomic_load(&from->stops) == 0) {
        if (atomic_exchange(&from->reload, false)) reload_models(self);
        notice_changes(self);
        if (!atomic_load(&from->reload) && atomic_load(&from->stops) == 0) signals_wait(from, LOOK_MS);
    }
}

/* Answers what is accepted, at most for FINISH_MS or until the second signal, and refuses the rest. */
static void finish(server *self, http *connections) {
    double begin = clock_ms();
    fprintf(stderr, "rubato: stopping; %zu texts are being answered\n", atomic_load(&self->accepted));
    atomic_store(&self->stopping, true);
    http_refuse(connections);
    while (atomic_load(&self->signals.stops) < 2 && clock_ms() < begin + FINISH_MS &&
           !http_is_quiet(connections, clock_ms() < begin + LINGER_MS))
        usleep(2000);
    if (atomic_load(&self->accepted) > 0)
        fprintf(stderr, "rubato: %zu texts are given up\n", atomic_load(&self->accepted));
    atomic_store(&self->giving_up, true);
    http_stop(connections);
}

static void free_server(server *self) {
    for (size_t i = 0; i < self->model_count; i++) hosted_release(self->models[i]);
    dispatcher_destroy(self);
    queue_destroy(&self->queue);
    metrics_destroy(&self->metrics);
    pthread_mutex_destroy(&self->models_lock);
    free(self);
}

rubato_status serve_run(const serve_options *options, rubato_error *error) {
    double begin = clock_ms();
    struct timespec now;
    server *self = calloc(1, sizeof *self);
    if (!self) return fail_memory(error);
    self->options = *options;
    fill_defaults(&self->options);
    clock_gettime(CLOCK_REALTIME, &now);
    self->started = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    pthread_mutex_init(&self->models_lock, NULL);
    queue_create(&self->queue);
    metrics_create(&self->metrics);
    raise_descriptors();
    signal(SIGPIPE, SIG_IGN);
    pthread_t dispatcher;
    http *connections = NULL;
    unsigned port = 0;
    bool running = false;
    rubato_status status = signals_start(&self->signals, error); /* before any other thread, which inherits the mask */
    if (status == RUBATO_OK) status = load_models(self, error);
    if (status == RUBATO_OK) status = dispatcher_create(self, error);
    if (status == RUBATO_OK) {
        running = pthread_create(&dispatcher, NULL, dispatcher_run, self) == 0;
        if (!running) status = fail(error, RUBATO_OUT_OF_MEMORY, "cannot start a thread");
    }
    if (status == RUBATO_OK) status = http_start(&connections, self, &port, error);
    if (status == RUBATO_OK) {
        say_ready(self, port, begin);
        serve_on(self);
        finish(self, connections);
    }
    if (running) {
        pthread_mutex_lock(&self->queue.lock);
        self->queue.closed = true;
        pthread_cond_broadcast(&self->queue.more);
        pthread_mutex_unlock(&self->queue.lock);
        pthread_join(dispatcher, NULL);
    }
    if (status == RUBATO_CANCELLED) { /* asked to stop while loading: nothing was accepted */
        fprintf(stderr, "rubato: stopped before it served\n");
        status = RUBATO_OK;
    }
    signals_end(&self->signals);
    free_server(self);
    return status;
}
