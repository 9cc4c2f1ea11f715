/* A model that is served: loaded, with a context, with its operating points in order of cost, and with their times. */
#ifndef RUBATO_SERVE_HOSTED_H
#define RUBATO_SERVE_HOSTED_H

#include <stdatomic.h>
#include <stdbool.h>

#include "serve/serve.h"
#include "serve/stamp.h"

/* An operating point among which the dispatcher chooses: the model's points, cheapest first, then "full". */
typedef struct level {
    char budget[40];             /* the value for rubato_options.budget: "@0.40x", "full" */
    const char *name;            /* "0.40x", "full" */
    double flops_ratio;          /* 1 for full */
    double quality;              /* NaN where unknown */
    size_t best;                 /* the level with the highest quality among this one and all cheaper ones */
    const double *each;          /* [max_length + 1] the ms that one text adds to a run */
    const double *start;         /* [max_length + 1] the ms that a run takes besides, because weights are read */
    atomic_uint_least64_t texts; /* the number of texts answered at this level */
} level;

/* The predicted time of a run, by the cost model. Without texts all is zero. */
typedef struct run_time {
    double start, texts; /* ms once for each run; ms of all its texts */
} run_time;

typedef struct hosted {
    atomic_size_t uses;
    size_t slot; /* index among the server's models; a reloaded model has that of its predecessor */
    char *name, *source;
    rubato_model *model;
    rubato_context *context; /* the dispatcher's */
    const rubato_info *info;
    level *levels;
    size_t level_count;
    double *times;       /* the memory of the levels' `each` and `start` */
    bool timed;          /* false: this machine was not calibrated, and times are guessed from operations */
    run_time correction; /* measured over predicted time, for each part; under the queue's lock */
    double loaded;       /* when loading began, in seconds since 1970 */
    stamp *files;        /* of the folder, when it was loaded */
    atomic_bool changed; /* since then */
} hosted;

/* Loads `source`: "NAME=MODEL", or "MODEL", whose last path part becomes the name. With `need_times` a machine that was
 * not calibrated for the model is calibrated. The result has one use. Fails: CANCELLED when *stops becomes other than
 * 0; NULL: never. */
rubato_status hosted_load(hosted **out, const char *source, const serve_options *options, bool need_times,
                          const atomic_uint *stops, rubato_error *error);

/* Whether a file of the model's folder was changed since it was loaded; true only once, with the file's name. */
bool hosted_has_changed(hosted *self, char *name, size_t bytes);

/* Adds a use; removes a use. The last removal frees the model. */
hosted *hosted_use(hosted *self);
void hosted_release(hosted *self);

/* Adds a text at a level to a run. A text that is longer than the model's maximum is read in windows. */
void hosted_add(const hosted *self, run_time *to, size_t at, size_t tokens);

/* The predicted time of a run; `correction` is hosted.correction, copied under the queue's lock. */
double hosted_run_ms(run_time correction, run_time what);

/* A text's share of the time of runs of about `run_ms` that are full of equal texts, starts included; at most the time
 * of the text alone. */
double hosted_share_ms(const hosted *self, run_time correction, size_t at, size_t tokens, double run_ms);

/* Corrects the predictions by the measured time of a run; with the queue's lock held. */
void hosted_learn(hosted *self, run_time what, double measured_ms);

#endif
