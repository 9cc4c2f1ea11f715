/* A team of threads that belongs to one context, and the number of threads that this process may use.
 *
 * A forward pass distributes some fifty small pieces of work within a millisecond or two. Workers therefore wait by
 * spinning for a short while before they sleep. A team of one runs everything inline and owns no thread. */
#ifndef RUBATO_BASE_THREADS_H
#define RUBATO_BASE_THREADS_H

#include "base/error.h"

typedef struct team team;

/* The function that team_run executes on each member: `member` in [0, members). */
typedef void (*team_work)(void *argument, size_t member, size_t members);

/* A team of `members` >= 1, the calling thread included. */
rubato_status team_create(team **team, size_t members, rubato_error *error);
void team_destroy(team *self);
size_t team_size(const team *self);

/* Runs `work` on every member and returns when all are done. One caller at a time.
 * A NULL team is a team of one. */
void team_run(team *self, team_work work, void *argument);

/* The share [*first, *last) of `count` units that falls to `member`, in multiples of `grain`. */
void team_share(size_t count, size_t grain, size_t member, size_t members, size_t *first, size_t *last);

/* Processors that this process may use, by its affinity and the container's CPU quota; at least 1. */
size_t threads_available(void);

/* The quota alone, as a pure function of a control-group file's text, so that tests can call it. `quota_text` is cgroup
 * v2's cpu.max ("max 100000", "150000 100000"). 0: no limit. */
size_t threads_from_quota(const char *quota_text);

#endif
