/* The engine behind the public API: what a model and a context hold, and how many texts become packed batches.
 *
 *   inputs -> tokenised by all threads -> windows sorted by length -> cut into batches of equal rows
 *          -> each thread runs batches of its own (many texts), or all threads one batch (few)
 *          -> a task's function takes the hidden states of its windows */
#ifndef RUBATO_TASK_ENGINE_H
#define RUBATO_TASK_ENGINE_H

#include "elastic/frontier.h"
#include "model/exits.h"
#include "model/pooling.h"
#include "text/tokenizer.h"

/* How to load a model that is to be trained: what its head will do. */
typedef struct learning {
    rubato_task task;
    const char *const *labels; /* of classification and tagging; NULL: the checkpoint's */
    size_t label_count;
    uint64_t seed;        /* of a head that the checkpoint lacks */
    const size_t *layers; /* the checkpoint's layers to take, from 0 on; NULL: all */
    size_t layer_count;
} learning;

/* What the encoder's products are to be in. */
typedef struct model_precision {
    precision how;                 /* of all layers */
    const precision *each;         /* of each, [layers]; NULL: how */
    bool both;                     /* and in f32, for operating points that differ in it */
    const layer_smoothing *smooth; /* [layers] factors of int8 layers' inputs; NULL: 1 */
} model_precision;

struct rubato_model {
    char *path, *folder; /* as given; where the encoder's config.json is */
    const family *kind;
    const char *prefix; /* of the encoder's tensors */
    bindings bound;     /* every parameter, when loaded for learning */
    checkpoint weights; /* stays mapped: the embedding tables are read in place */
    arena packed;       /* every weight that a product or norm reads */
    tokenizer *text;
    encoder body;
    head heads[HEAD_COUNT];
    exits exits; /* of the main head */
    pooling pool;
    frontier points; /* what rubato.json holds */
    rubato_info info;
    bool multi_label;
    bool lowercase;      /* sentence_bert_config's do_lower_case */
    bool sentence;       /* a sentence-transformers folder: texts are stripped */
    bool rerank_sigmoid; /* a cross-encoder's scores pass through a sigmoid */
    char **labels, **prompt_names, **prompts, **warnings;
    char *default_prompt; /* points into prompts; NULL for none */
    char pooling_text[96];
};

enum { ENGINE_LEAST_ROWS = 48 }; /* below this many rows a thread's own batch is slower than sharing one */

typedef struct exit_trail exit_trail; /* task/exit_trail.h */

typedef struct worker {
    arena memory;
    tokenizer_scratch text;
} worker;

struct rubato_context {
    const rubato_model *model;
    const kernel_table *kernels;
    team *crew;
    size_t batch_tokens;
    worker *workers;                 /* one a thread */
    cost_model *times;               /* NULL: this machine was not calibrated for the model */
    const linear_observer *observer; /* of all runs; not thread-safe: for contexts of one thread */
    const point *force;              /* this point for every text, whatever the budget; NULL: by the budget */
    exit_trail *trail;               /* receives what every exit says, and nobody leaves; NULL: as usual */
};

/* One window of one input on its way through the encoder. */
typedef struct unit {
    const rubato_window *window;
    size_t input;    /* index of the input */
    size_t number;   /* of the window among the input's */
    const point *at; /* NULL: full */
} unit;

/* Takes the hidden states of a batch: units[i] is sequence i. left: who left early, NULL where nobody may. Called from
 * several threads at once, each unit once. */
typedef rubato_status take_batch(void *user, const run *on, const encoded *out, const exit_session *left,
                                 const unit *units, rubato_error *error);

typedef struct job {
    const rubato_input *inputs;
    size_t count;
    const rubato_options *options; /* may be NULL */
    rubato_text_options text;      /* what the task makes of options->text */
    head_kind head;                /* which decides what may retire; HEAD_COUNT: pooling */
    take_batch *take;              /* NULL: only the time counts */
    void *user;
    rubato_cost *costs; /* [count] or NULL */
    /* Encodings of all inputs, made by the engine. When `keep` they outlive the run and are the caller's to release
     * with engine_release. */
    bool keep;
    rubato_encoding **encodings;
    /* Called with every input's encoding before anything runs, on several threads; NULL for none. */
    rubato_status (*prepare)(void *user, size_t input, rubato_encoding *encoding, rubato_error *error);
} job;

/* As rubato_model_load_with; `wanted` NULL: f32; `learn` NULL: to be run only. A model loaded for learning is the
 * caller's alone; to be trained it must be f32. */
rubato_status model_load(rubato_model **model, const char *name, const model_precision *wanted, const learning *learn,
                         rubato_error *error);

/* "0,2,5": numbers of layers. out [POINT_LAYERS]; NULL text: none. Fails: BAD_ARGUMENT. */
rubato_status layers_parse(const char *text, size_t *out, size_t *count, rubato_error *error);

/* "f32", "bf16", "int8"; NULL: as stored. Fails: BAD_ARGUMENT. */
rubato_status precision_find(precision *out, const char *name, rubato_error *error);

/* Types on disk. */
typedef struct storage {
    dtype rest;   /* F32, F16 or BF16 */
    dtype tables; /* of word and position embeddings: these or I8 */
} storage;

/* Writes a model loaded for learning as a folder in Hugging Face layout: configuration, tokenizer, weights under the
 * family's own names, and rubato.json with its points and `notes` (an object, or NULL). Layers that were loaded in bf16
 * or int8 are written as they lie in memory, "NAME.packed" with "NAME.scale" and "NAME.offset", to be mapped. */
rubato_status model_save(const rubato_model *model, const char *folder, storage how, const json_t *notes,
                         rubato_error *error);

/* "f32" (also for NULL), "f16", "bf16". Fails: BAD_ARGUMENT. */
rubato_status model_store_type(const char *name, storage *how, rubato_error *error);

/* Writes FOLDER/NAME, whole or not at all. */
rubato_status model_write_json(const json_t *value, const char *folder, const char *name, rubato_error *error);

/* A folder's rubato.json, whose object the caller owns; an empty one where there is none. */
rubato_status model_read_notes(json_t **out, const char *folder, rubato_error *error);

/* FOLDER/NAME's value, which the caller owns; NULL where there is no such file. */
rubato_status model_read_optional(json_t **out, const char *folder, const char *name, rubato_error *error);

/* Where the encoder of a folder is: below it, where modules.json (NULL: none) says so. */
void model_encoder_folder(char *out, size_t bytes, const char *folder, const json_t *modules);

/* Loads what sentence-transformers keeps beside the encoder in `folder`. */
rubato_status model_load_sentence(rubato_model *model, loader *load, const json_t *modules, const char *folder,
                                  const json_t *config, rubato_error *error);

/* Writes rubato.json alone. */
rubato_status model_save_points(const frontier *points, const json_t *notes, const char *folder, rubato_error *error);

/* Whether it answers for sequences or for tokens, which may leave early. */
bool model_may_exit(const rubato_model *model);

/* Gives a model that was loaded for learning exits after the given layers (from 0): those that it has where they are of
 * that kind and read the same, else new ones. EXIT_NONE takes them away. Fails: WRONG_TASK where the main head answers
 * neither for sequences nor for tokens. */
rubato_status model_make_exits(rubato_model *model, exit_kind kind, bool reads_mean, const exit_setting *rule,
                               const size_t *layers, size_t count, uint64_t seed, rubato_error *error);

/* Loads the exits that rubato.json (`notes`) tells of; bound NULL: to be run only. */
rubato_status model_load_exits(rubato_model *model, const json_t *notes, bindings *bound, rubato_error *error);

/* Tells of exits in rubato.json's object. */
rubato_status exits_note(const exits *self, json_t *object, rubato_error *error);

/* Runs a job. Fails: BAD_TEXT and others with error->line the input's index + 1, CANCELLED, OUT_OF_MEMORY. */
rubato_status engine_run(rubato_context *context, job *work, rubato_error *error);
void engine_release(job *work);

/* The second half of it, for windows that are there already; sorts the units. Their points are set. */
rubato_status engine_run_units(rubato_context *context, job *work, unit *units, size_t count, rubato_error *error);

/* The options' text part with the model's maximum length filled in and checked; budget and prompt checked. */
rubato_status engine_text_options(const rubato_model *model, const rubato_options *options, rubato_text_options *out,
                                  rubato_error *error);

/* What the options' budget asks for, or context->force. */
rubato_status engine_budget(rubato_context *context, const rubato_options *options, budget *out, rubato_error *error);

/* The point that a sequence of that length gets; NULL: full. */
const point *engine_point(const rubato_context *context, const budget *wanted, size_t length);

/* The head by which the model does its task; HEAD_COUNT: pooling. */
head_kind engine_main_head(const rubato_model *model);

/* Whether a window's ids, types and length are within the model's tables. */
rubato_status engine_check_window(const rubato_model *model, const rubato_window *window, rubato_error *error);

/* What the machine calls its processor; "unknown" where it does not say. */
void machine_processor(char *out, size_t bytes);

/* How a point thins out a batch for the head of that kind: which rows may go, and whether they come back. */
thinning engine_thinning(const rubato_model *model, head_kind kind, const point *at);

/* Readies a batch's exits where the point has some and the job's head is theirs: *left is &session then and *how knows
 * it, else NULL. False when memory is short. */
bool engine_exits(const rubato_model *model, head_kind kind, const point *at, const run *on, const batch *packed,
                  exit_session *session, exit_session **left, thinning *how);

/* What a head says of a batch, contiguous in the run's arena: a row a sequence, or for heads of tokens a row a row.
 * NULL when memory is short. */
const float *engine_results(const head *from, const run *on, const encoded *out, const exit_session *left);

/* Logits [count, labels] of a classifier become what rubato_classify gives: probabilities; of regression the value. */
void engine_scores(const rubato_context *context, float *out, size_t count);

/* Operations of one sequence's way through the layers at a point (NULL: full), exits included: what is expected where
 * some leave early. */
double engine_flops(const rubato_model *model, const point *at, size_t length);

/* BAD_MODEL when a result holds NaN. */
rubato_status engine_check(const float *values, size_t count, rubato_error *error);

/* The head of that kind, or WRONG_TASK with what the model is. */
rubato_status engine_head(const rubato_model *model, head_kind kind, const head **out, rubato_error *error);

#endif
