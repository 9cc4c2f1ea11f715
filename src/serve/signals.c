/* Waiting for signals. */
#define _GNU_SOURCE
#include "serve/signals.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

typedef struct receiver {
    sigset_t set, before;
    pthread_t thread;
    sem_t news;
    atomic_bool ended;
} receiver;

static void *receive(void *user) {
    signals *self = user;
    receiver *mine = self->receiver;
    while (!atomic_load(&mine->ended)) {
        int which;
        if (sigwait(&mine->set, &which) != 0) continue;
        if (which == SIGHUP)
            atomic_store(&self->reload, true);
        else
            atomic_fetch_add(&self->stops, 1);
        sem_post(&mine->news);
    }
    return NULL;
}

rubato_status signals_start(signals *self, rubato_error *error) {
    receiver *mine = calloc(1, sizeof *mine);
    if (!mine) return fail_memory(error);
    self->receiver = mine;
    sigemptyset(&mine->set);
    sigaddset(&mine->set, SIGTERM);
    sigaddset(&mine->set, SIGINT);
    sigaddset(&mine->set, SIGHUP);
    sem_init(&mine->news, 0, 0);
    pthread_sigmask(SIG_BLOCK, &mine->set, &mine->before);
    if (pthread_create(&mine->thread, NULL, receive, self) == 0) return RUBATO_OK;
    pthread_sigmask(SIG_SETMASK, &mine->before, NULL);
    sem_destroy(&mine->news);
    free(mine);
    self->receiver = NULL;
    return fail(error, RUBATO_OUT_OF_MEMORY, "cannot start a thread");
}

void signals_end(signals *self) {
    receiver *mine = self->receiver;
    if (!mine) return;
    atomic_store(&mine->ended, true);
    pthread_kill(mine->thread, SIGHUP); /* blocked everywhere: only the waiting thread sees it */
    pthread_join(mine->thread, NULL);
    pthread_sigmask(SIG_SETMASK, &mine->before, NULL);
    sem_destroy(&mine->news);
    free(mine);
}

void signals_wait(signals *self, double most_ms) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    long long ns = until.tv_nsec + (long long)(most_ms * 1e6);
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    sem_timedwait(&self->receiver->news, &until);
}
