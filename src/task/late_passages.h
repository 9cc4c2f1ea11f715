/* Vectors of passages from one pass over the whole text ("late chunking", Guenther et al. 2024). */
#ifndef RUBATO_TASK_LATE_PASSAGES_H
#define RUBATO_TASK_LATE_PASSAGES_H

#include "task/encode.h"
#include "task/job.h"
#include "task/passages.h"

typedef struct late_text late_text;

typedef struct late_passages {
    const rubato_model *model;
    const rubato_input *inputs; /* the caller's */
    const char *prompt;         /* NULL: none */
    size_t skip;                /* leading tokens of a text that are not pooled: those of a prompt */
    size_t most;                /* tokens of a passage */
    size_t count;
    prepared_inputs prepared;
    late_text *texts;    /* [count] */
    passage_list *lists; /* [count] */
} late_passages;

/* Runs the texts. `self` has its first five members. Release with late_passages_free, also after a failure. */
rubato_status late_passages_run(late_passages *self, rubato_context *context, size_t count,
                                const rubato_options *options, const rubato_text_options *text, rubato_costs **costs,
                                rubato_error *error);

/* Writes the vectors of all passages, those of the first text first: out [passages, width]. */
rubato_status late_passages_vectors(const late_passages *self, rubato_context *context, float *out,
                                    rubato_error *error);

void late_passages_free(late_passages *self);

#endif
