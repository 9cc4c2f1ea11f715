/* The engine behind the public API: what a model and a context hold, and how many texts become packed batches.
 *
 *   inputs -> tokenised by all threads -> windows sorted by length -> cut into batches of equal rows
 *          -> each thread runs batches of its own (many texts), or all threads one batch (few)
 *          -> a task's function takes the hidden states of its windows */
#ifndef RUBATO_TASK_ENGINE_H
#define RUBATO_TASK_ENGINE_H

#include "model/head.h"
#include "model/pooling.h"
#include "text/tokenizer.h"

struct rubato_model {
    char *path;
    checkpoint weights; /* stays mapped: the embedding tables are read in place */
    arena packed;       /* every weight that a product or norm reads */
    tokenizer *text;
    encoder body;
    head heads[HEAD_COUNT];
    pooling pool;
    rubato_info info;
    bool multi_label;
    bool lowercase;      /* sentence_bert_config's do_lower_case */
    bool sentence;       /* a sentence-transformers folder: texts are stripped */
    bool rerank_sigmoid; /* a cross-encoder's scores pass through a sigmoid */
    char **labels, **prompt_names, **prompts, **warnings;
    size_t warning_capacity;
    char *default_prompt; /* points into prompts; NULL for none */
    char pooling_text[96];
};

typedef struct worker {
    arena memory;
    tokenizer_scratch text;
} worker;

struct rubato_context {
    const rubato_model *model;
    const kernel_table *kernels;
    team *crew;
    size_t batch_tokens;
    worker *workers; /* one a thread */
};

/* One window of one input on its way through the encoder. */
typedef struct unit {
    const rubato_window *window;
    size_t input;  /* index of the input */
    size_t number; /* of the window among the input's */
} unit;

/* Takes the hidden states of a batch: units[i] is sequence i. Called from several threads at once, each unit once. */
typedef rubato_status take_batch(void *user, const run *on, tensor hidden, const batch *packed, const unit *units,
                                 rubato_error *error);

typedef struct job {
    const rubato_input *inputs;
    size_t count;
    const rubato_options *options; /* may be NULL */
    rubato_text_options text;      /* what the task makes of options->text */
    head_kind head;                /* for the cost; HEAD_COUNT: none */
    bool head_on_all_rows;
    take_batch *take;
    void *user;
    rubato_cost *costs; /* [count] or NULL */
    /* Encodings of all inputs, made by the engine. When `keep` they outlive the run and are the caller's to release
     * with engine_release. */
    bool keep;
    rubato_encoding **encodings;
    /* Called with every input's encoding before anything runs, on several threads; NULL for none. */
    rubato_status (*prepare)(void *user, size_t input, rubato_encoding *encoding, rubato_error *error);
} job;

/* Runs a job. Fails: BAD_TEXT and others with error->line the input's index + 1, CANCELLED, OUT_OF_MEMORY. */
rubato_status engine_run(rubato_context *context, job *work, rubato_error *error);
void engine_release(job *work);

/* The second half of it, for windows that are there already; sorts the units. */
rubato_status engine_run_units(rubato_context *context, job *work, unit *units, size_t count, rubato_error *error);

/* The options' text part with the model's maximum length filled in and checked; budget and prompt checked. */
rubato_status engine_text_options(const rubato_model *model, const rubato_options *options, rubato_text_options *out,
                                  rubato_error *error);

/* BAD_MODEL when a result holds NaN. */
rubato_status engine_check(const float *values, size_t count, rubato_error *error);

/* The head of that kind, or WRONG_TASK with what the model is. */
rubato_status engine_head(const rubato_model *model, head_kind kind, const head **out, rubato_error *error);

#endif
