/* The program's commands: one file each, over rubato.h alone. */
#ifndef RUBATO_CLI_COMMAND_H
#define RUBATO_CLI_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "rubato.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Every option that some command takes; zero where it was not given. */
typedef struct arguments {
    const char *model, *file;
    const char *models[64]; /* of a command that takes several */
    size_t model_count;
    const char *host, *api_key, *slo, *auto_truncate, *tls_cert, *tls_key, *cors, *log;
    uint64_t port, max_batch_tokens, max_queue, max_client_batch, max_body, client_timeout;
    bool log_texts;
    const char *budget, *precision, *isa;
    const char *query, *corpus, *output, *prompt, *truncation, *task, *data, *columns, *revision, *batches, *lengths;
    const char *dev, *out, *recipe, *labels, *epochs, *rate, *warm_up, *decay, *clip, *dropout, *length_drop, *merges,
        *layer_drop;
    const char *significance, *divergence, *soft_rate, *soft_penalty, *store;
    uint64_t batch_size, micro_tokens, sandwiches, eval_steps, checkpoint_steps;
    const char *to, *max_drop, *cost_kind, *teacher, *lowest, *layers, *exit_layers, *ponder, *refine_from, *refine_to,
        *widths, *drop, *target_drop, *axes, *smooth, *match_states;
    uint64_t vocabulary, positions;
    uint64_t iterations, mutations, crossovers;
    bool no_distillation, refine, frozen, exit_mean, keep_order, resume, depth, no_depth, check, words, roofline;
    uint64_t threads, batch_tokens, max_length, stride, top, seed, limit;
    bool json, jsonl, cost, quiet, help, tokens, no_special, special_as_text, left, allow_empty, raw;
} arguments;

typedef struct command {
    const char *name, *operands, *summary;
    const char *options;  /* names of the options it takes, each with a space before and after */
    const char *examples; /* lines for --help */
    int (*run)(const arguments *given);
} command;

extern const command command_info, command_tokenize, command_embed, command_classify, command_tag, command_answer,
    command_rerank, command_fill, command_search_text, command_eval, command_bench, command_pull, command_train,
    command_search, command_calibrate, command_trim, command_quantize, command_serve;

/* The options that every command which runs a model takes. */
#define RUN_OPTIONS " budget target-drop precision threads batch-tokens max-length cost seed quiet help json isa "

/* ---- What commands share ---- */

/* Prints "rubato: message" and returns EXIT_FAILED, or EXIT_USAGE for a bad argument. */
int report(const rubato_error *error);
int report_text(const char *message);
int report_usage(const char *format, const char *what);

/* A loaded model and a context for it, as the options say. */
typedef struct session {
    rubato_model *model;
    rubato_context *context;
    const rubato_info *info;
    rubato_options options;
    char budget[64]; /* made of --target-drop */
} session;

/* Loads; returns EXIT_OK, or reports and returns the exit status. Warnings of the model go to standard error. */
int session_open(session *s, const arguments *given);
void session_close(session *s);

/* ---- Input ---- */

typedef struct record {
    char *text, *pair; /* the caller's line; pair NULL */
    size_t text_bytes, pair_bytes;
    char **documents; /* rerank: of a JSON object */
    size_t document_count;
    size_t line;
} record;

typedef struct reader reader;

/* What a JSON line must hold. */
typedef enum record_kind { RECORD_TEXT, RECORD_QUESTION, RECORD_DOCUMENTS } record_kind;

/* Opens the file, or standard input for NULL and "-". */
int reader_open(reader **out, const char *path, bool jsonl, record_kind kind);

/* The next records, up to some thousands; *count is 0 at the end. A line that cannot be used is reported and passed
 * over; reader_failed tells afterwards. The records live until the next call. */
int reader_next(reader *self, record **records, size_t *count);
bool reader_failed(const reader *self);
void reader_close(reader *self);

/* ---- Output ---- */

void print_json_string(const char *text, size_t bytes);
void print_float(double value);
void print_cost(const rubato_cost *cost);

/* Prints `, "cost": {...}` for --json or a line for reading, when costs were asked for. */
void print_cost_member(const arguments *given, const rubato_cost *cost);

/* Which words lived how long, for --words: a member of the JSON object, or a line a layer for reading. */
int print_words(session *s, const arguments *given, const rubato_input *input);

/* The version, and how the program was built. Returns the exit status. */
int print_version(bool json);

/* Flushes standard output; EXIT_FAILED with a message when that fails (a full disk, say). */
int finish_output(int status);

/* The usual loop of a command: `each` on the input in chunks, then `finish` (NULL for none) with the same session. */
typedef int each_chunk(void *user, session *s, const arguments *given, const record *records, size_t count,
                       const rubato_input *inputs, rubato_cost *costs);
typedef int finish_input(void *user, session *s, const arguments *given);
int for_each_chunk(const arguments *given, record_kind kind, each_chunk *each, finish_input *finish, void *user);

/* Reports a running function's error with the line of the input it is about. */
int report_record(const rubato_error *error, const record *records, size_t count);

#endif
