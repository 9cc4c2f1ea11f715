/* The head's outputs for every token of every window, for tagging, answering and filling masks. */
#ifndef RUBATO_TASK_TOKEN_SCORES_H
#define RUBATO_TASK_TOKEN_SCORES_H

#include "task/job.h"

typedef struct token_scores {
    job work; /* holds the encodings */
    size_t columns;
    float ***windows; /* [count][windows] -> [length, columns] */
    const head *head;
} token_scores;

/* Runs the inputs through the encoder and the head of that kind. Options and text as
 * engine_options made them. Release with token_scores_free, also after a failure. */
rubato_status token_scores_run(token_scores *self, rubato_context *context, head_kind kind, const rubato_input *inputs,
                               size_t count, const rubato_options *options, const rubato_text_options *text,
                               rubato_costs **costs, rubato_error *error);
void token_scores_free(token_scores *self);

#endif
