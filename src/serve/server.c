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

enum { FINISH_MS = 30000 }; /* accepted requests are answered within this time, or given up */

/* ---- Models ---- */

bool hosted_does(const hosted *self, work_kind kind) {
    rubato_task task = self->info->task;
    bool plain = task == RUBATO_TASK_EMBEDDING || task == RUBATO_TASK_MLM || task == RUBATO_TASK_NSP;
    switch (kind) {
    case WORK_EMBED: return plain;
    case WORK_SCORES:
        return task == RUBATO_TASK_CLASSIFICATION || task == RUBATO_TASK_REGRESSION || task == RUBATO_TASK_NSP;
    case WORK_TAG: return task == RUBATO_TASK_TAGGING;
    case WORK_ANSWER: return task == RUBATO_TASK_QA;
    case WORK_FILL: return task == RUBATO_TASK_MLM;
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

static rubato_status load_models(server *self, rubato_error *error) {
    const serve_options *options = &self->options;
    if (options->model_count > MOST_MODELS)
        return fail(error, RUBATO_BAD_ARGUMENT, "%zu models; one process serves at most %d", options->model_count,
                    MOST_MODELS);
    for (size_t i = 0; i < options->model_count; i++) {
        hosted *one;
        TRY(hosted_load(&one, options->models[i], options, options->slo_ms > 0, error));
        for (size_t j = 0; j < i; j++)
            if (strcmp(self->models[j]->name, one->name) == 0) {
                rubato_status status =
                    fail(error, RUBATO_BAD_ARGUMENT, "two models of the name \"%s\"; use NAME=MODEL", one->name);
                hosted_release(one);
                return status;
            }
        if (options->budget) {
            size_t index;
            rubato_status status = rubato_choose_point(one->context, options->budget, 64, &index, error);
            if (status != RUBATO_OK) {
                hosted_release(one);
                return status;
            }
        }
        one->slot = self->model_count;
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
        if (hosted_load(&fresh, self->options.models[i], &self->options, self->options.slo_ms > 0, &error) !=
            RUBATO_OK) {
            fprintf(stderr, "rubato: reload of %s failed, the loaded one stays: %s\n", self->models[i]->name,
                    error.message);
            continue;
        }
        pthread_mutex_lock(&self->models_lock);
        old = self->models[i];
        fresh->slot = i;
        pthread_mutex_lock(&self->queue.lock);
        fresh->correction = old->correction;
        pthread_mutex_unlock(&self->queue.lock);
        self->models[i] = fresh;
        pthread_mutex_unlock(&self->models_lock);
        hosted_release(old);
        fprintf(stderr, "rubato: reloaded %s\n", fresh->name);
    }
}

/* ---- Running ---- */

static void fill_defaults(serve_options *options) {
    if (!options->host) options->host = "0.0.0.0";
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

static void say_ready(const server *self, unsigned port, double begin_ms) {
    fprintf(stderr, "rubato: serving");
    for (size_t i = 0; i < self->model_count; i++) fprintf(stderr, "%s %s", i ? "," : "", self->models[i]->name);
    fprintf(stderr, " on %s://%s:%u after %.0f ms (%s, %zu thread%s)\n", self->options.tls_cert ? "https" : "http",
            self->options.host, port, clock_ms() - begin_ms, rubato_context_isa(self->models[0]->context),
            self->options.threads, self->options.threads == 1 ? "" : "s");
}

/* Waits for a signal that ends the server; reloads the models at SIGHUP. */
static void wait_for_end(server *self, const sigset_t *signals) {
    for (;;) {
        int which;
        if (sigwait(signals, &which) != 0) continue;
        if (which != SIGHUP) return;
        reload_models(self);
    }
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
    sigset_t signals, before;
    server *self = calloc(1, sizeof *self);
    if (!self) return fail_memory(error);
    self->options = *options;
    fill_defaults(&self->options);
    self->started = (long long)time(NULL);
    pthread_mutex_init(&self->models_lock, NULL);
    queue_create(&self->queue);
    metrics_create(&self->metrics);
    raise_descriptors();
    signal(SIGPIPE, SIG_IGN);
    /* blocked before any thread starts, so that only sigwait receives them */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    pthread_t dispatcher;
    http *connections = NULL;
    unsigned port = 0;
    rubato_status status = load_models(self, error);
    if (status == RUBATO_OK) status = dispatcher_create(self, error);
    bool running = false;
    if (status == RUBATO_OK) {
        running = pthread_create(&dispatcher, NULL, dispatcher_run, self) == 0;
        if (!running) status = fail(error, RUBATO_OUT_OF_MEMORY, "cannot start a thread");
    }
    if (status == RUBATO_OK) status = http_start(&connections, self, &port, error);
    if (status == RUBATO_OK) {
        say_ready(self, port, begin);
        wait_for_end(self, &signals);
        fprintf(stderr, "rubato: stopping; %zu texts are being answered\n", atomic_load(&self->accepted));
        atomic_store(&self->stopping, true);
        http_refuse(connections);
        http_stop(connections, FINISH_MS);
    }
    if (running) {
        pthread_mutex_lock(&self->queue.lock);
        self->queue.closed = true;
        pthread_cond_broadcast(&self->queue.more);
        pthread_mutex_unlock(&self->queue.lock);
        pthread_join(dispatcher, NULL);
    }
    free_server(self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}
