/* The team: one counter of rounds starts a round, and one counter of unfinished parts ends it.
 *
 * Each member has its part of a round and claims it before it begins. The calling thread does its own part and then
 * every part that is not claimed yet. So a worker that sleeps, or that the system has taken off its processor, delays a
 * round only when that happens in the middle of its part. */
#define _GNU_SOURCE
#include "base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum { SPINS = 20000 }; /* some 50 us: longer than any gap within one forward pass */

/* The last round whose part was claimed; one cache line for each member. */
typedef struct claim {
    _Alignas(64) _Atomic unsigned long round;
} claim;

struct team {
    claim *claims; /* [members] */
    size_t members;
    pthread_t *threads; /* members - 1 */
    size_t started;
    team_work work;
    void *argument;
    _Atomic unsigned long round; /* a new value starts a round */
    atomic_size_t busy;          /* parts of the round that are not done */
    atomic_bool stop;
    atomic_size_t sleepers;
    pthread_mutex_t lock;
    pthread_cond_t wake;
};

typedef struct worker_start {
    team *team;
    size_t member;
} worker_start;

static inline void pause_cpu(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static unsigned long wait_for_round(team *self, unsigned long seen) {
    for (int spin = 0; spin < SPINS; spin++) {
        unsigned long round = atomic_load_explicit(&self->round, memory_order_acquire);
        if (round != seen) return round;
        pause_cpu();
    }
    pthread_mutex_lock(&self->lock);
    atomic_fetch_add(&self->sleepers, 1);
    unsigned long round;
    while ((round = atomic_load(&self->round)) == seen) pthread_cond_wait(&self->wake, &self->lock);
    atomic_fetch_sub(&self->sleepers, 1);
    pthread_mutex_unlock(&self->lock);
    return round;
}

/* Does a member's part of a round, unless the part is claimed already or the round is over: a worker may come late. */
static void do_part(team *self, size_t member, unsigned long round) {
    unsigned long last = atomic_load_explicit(&self->claims[member].round, memory_order_relaxed);
    if (last >= round || !atomic_compare_exchange_strong(&self->claims[member].round, &last, round)) return;
    /* The part is claimed, so the round cannot end before it does: work and argument belong to this round. */
    self->work(self->argument, member, self->members);
    atomic_fetch_sub_explicit(&self->busy, 1, memory_order_release);
}

static void *worker_main(void *argument) {
    worker_start start = *(worker_start *)argument;
    free(argument);
    unsigned long seen = 0;
    for (;;) {
        seen = wait_for_round(start.team, seen);
        if (atomic_load(&start.team->stop)) return NULL;
        do_part(start.team, start.member, seen);
    }
}

static void begin_round(team *self) {
    atomic_fetch_add(&self->round, 1);
    if (atomic_load(&self->sleepers) > 0) {
        pthread_mutex_lock(&self->lock);
        pthread_cond_broadcast(&self->wake);
        pthread_mutex_unlock(&self->lock);
    }
}

rubato_status team_create(team **out, size_t members, rubato_error *error) {
    *out = NULL;
    if (members < 1 || members > 1024)
        return fail(error, RUBATO_BAD_ARGUMENT, "threads: %zu is out of range; use 1 to 1024", members);
    team *self = calloc(1, sizeof *self);
    if (!self) return fail_memory(error);
    self->members = members;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->wake, NULL);
    self->threads = calloc(members, sizeof *self->threads);
    self->claims = aligned_alloc(_Alignof(claim), members * sizeof *self->claims);
    if (!self->threads || !self->claims) goto no_memory;
    for (size_t i = 0; i < members; i++) atomic_init(&self->claims[i].round, 0);
    for (size_t member = 1; member < members; member++) {
        worker_start *start = malloc(sizeof *start);
        if (!start) goto no_memory;
        *start = (worker_start){self, member};
        if (pthread_create(&self->threads[member - 1], NULL, worker_main, start) != 0) {
            free(start);
            team_destroy(self);
            return fail(error, RUBATO_OUT_OF_MEMORY, "could not start thread %zu of %zu; try fewer --threads",
                        member + 1, members);
        }
        self->started++;
    }
    *out = self;
    return RUBATO_OK;
no_memory:
    team_destroy(self);
    return fail_memory(error);
}

void team_destroy(team *self) {
    if (!self) return;
    atomic_store(&self->stop, true);
    begin_round(self);
    for (size_t i = 0; i < self->started; i++) pthread_join(self->threads[i], NULL);
    pthread_cond_destroy(&self->wake);
    pthread_mutex_destroy(&self->lock);
    free(self->threads);
    free(self->claims);
    free(self);
}

size_t team_size(const team *self) {
    return self ? self->members : 1;
}

void team_run(team *self, team_work work, void *argument) {
    if (team_size(self) == 1) {
        work(argument, 0, 1);
        return;
    }
    self->work = work;
    self->argument = argument;
    atomic_store_explicit(&self->busy, self->members - 1, memory_order_relaxed);
    begin_round(self);
    work(argument, 0, self->members);
    unsigned long round = atomic_load_explicit(&self->round, memory_order_relaxed); /* only this thread changes it */
    for (size_t member = 1; member < self->members; member++) do_part(self, member, round);
    for (size_t spin = 0; atomic_load_explicit(&self->busy, memory_order_acquire) > 0; spin++) {
        pause_cpu();
        if (spin > SPINS) sched_yield(); /* more threads than processors: let the others run */
    }
}

void team_share(size_t count, size_t grain, size_t member, size_t members, size_t *first, size_t *last) {
    size_t units = divide_up(count, grain);
    *first = size_min(units * member / members * grain, count);
    *last = size_min(units * (member + 1) / members * grain, count);
}

size_t threads_from_quota(const char *text) {
    double quota, period;
    if (!text || sscanf(text, "%lf %lf", &quota, &period) != 2 || quota <= 0 || period <= 0) return 0;
    double processors = quota / period;
    if (processors < 1) return 1;
    return processors > 1024 ? 1024 : (size_t)(processors + 0.5);
}

static size_t quota_of(const char *path) {
    char text[128] = "";
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    size_t length = fread(text, 1, sizeof text - 1, file);
    text[length] = 0;
    fclose(file);
    return threads_from_quota(text);
}

/* The CPU limit of this process: the least of its own control group and all parents (version 2), or else version
 * 1's. */
static size_t container_limit(void) {
    size_t limit = 0;
    char line[1024], path[1200] = "";
    FILE *file = fopen("/proc/self/cgroup", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "0::", 3) == 0) {
            line[strcspn(line, "\n")] = 0;
            snprintf(path, sizeof path, "%s", line + 3);
        }
    if (file) fclose(file);
    for (;;) {
        char name[1400];
        snprintf(name, sizeof name, "/sys/fs/cgroup%s/cpu.max", path);
        size_t here = quota_of(name);
        if (here && (!limit || here < limit)) limit = here;
        char *slash = strrchr(path, '/');
        if (!slash) break;
        *slash = 0;
    }
    if (limit) return limit;
    char quota[64] = "", period[64] = "", both[160];
    FILE *quota_file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r");
    FILE *period_file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r");
    if (quota_file && period_file && fgets(quota, sizeof quota, quota_file) &&
        fgets(period, sizeof period, period_file)) {
        snprintf(both, sizeof both, "%s %s", quota, period);
        limit = threads_from_quota(both);
    }
    if (quota_file) fclose(quota_file);
    if (period_file) fclose(period_file);
    return limit;
}

size_t threads_available(void) {
    cpu_set_t set;
    size_t count = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0) count = (size_t)CPU_COUNT(&set);
    size_t limit = container_limit();
    if (limit && limit < count) count = limit;
    return size_max(count, 1);
}
