/* A model that is served: loaded, with a context, its operating points in order of cost, and what they take. */
#ifndef RUBATO_SERVE_HOSTED_H
#define RUBATO_SERVE_HOSTED_H

#include <stdatomic.h>
#include <stdbool.h>

#include "serve/serve.h"

/* An operating point as the dispatcher chooses among them: the model's, cheapest first, then "full". */
typedef struct level {
    char budget[40];             /* what rubato_options.budget gets: "@0.40x", "full" */
    const char *name;            /* "0.40x", "full" */
    double flops_ratio;          /* 1 for full */
    double quality;              /* NaN where unknown */
    size_t best;                 /* the level of the highest quality among this one and the cheaper ones */
    const double *each;          /* [max_length + 1] ms that one text adds to a run */
    const double *start;         /* [max_length + 1] ms that a run of such texts takes besides: weights are read */
    atomic_uint_least64_t texts; /* answered at it */
} level;

/* What a run should take, by the cost model. Empty: all zero. */
typedef struct run_time {
    double start, texts; /* ms once; ms that the texts add */
} run_time;

typedef struct hosted {
    atomic_size_t uses;
    size_t slot; /* among the server's models; a reloaded model has its predecessor's */
    char *name, *source;
    rubato_model *model;
    rubato_context *context; /* the dispatcher's */
    const rubato_info *info;
    level *levels;
    size_t level_count;
    double *times;       /* behind the levels' each and start */
    bool timed;          /* false: this machine was not calibrated, times are guesses from operations */
    run_time correction; /* measured over predicted, of either part; under the queue's lock */
} hosted;

/* Loads `source`, "NAME=MODEL" or "MODEL" (whose last path part is its name). With `need_times` a machine that was not
 * calibrated for the model is calibrated. Comes with one use. */
rubato_status hosted_load(hosted **out, const char *source, const serve_options *options, bool need_times,
                          rubato_error *error);

/* One more use, and one less: the last one frees it. */
hosted *hosted_use(hosted *self);
void hosted_release(hosted *self);

/* Adds a text at a level to a run; one longer than the model takes is read in windows. */
void hosted_add(const hosted *self, run_time *to, size_t at, size_t tokens);

/* The three below use the corrections and so want the queue's lock. */

/* What the run will take. */
double hosted_run_ms(const hosted *self, run_time what);

/* A text's part of runs of about `run_ms` that are full of such texts, starts included; at most what it takes alone. */
double hosted_share_ms(const hosted *self, size_t at, size_t tokens, double run_ms);

/* Corrects the predictions by what a run took. */
void hosted_learn(hosted *self, run_time what, double measured_ms);

#endif
