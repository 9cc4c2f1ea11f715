/* A team of threads that belongs to one context, and how many threads this process may use.
 *
 * A forward pass hands out some fifty small pieces of work within a millisecond or two, so workers wait by spinning
 * for a short while before they sleep. A team of one runs everything inline and owns no thread. */
#ifndef RUBATO_BASE_THREADS_H
#define RUBATO_BASE_THREADS_H

#include "base/error.h"

typedef struct team team;

/* What team_run executes on each member: `member` in [0, members). */
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

/* Processors this process may use: affinity and the container's CPU quota, at least 1. */
size_t threads_available(void);

/* The quota part alone, as a pure function of what the two control-group files hold; for tests.
 * `quota_text` is cgroup v2's cpu.max ("max 100000", "150000 100000"). 0 when there is no limit. */
size_t threads_from_quota(const char *quota_text);

#endif
