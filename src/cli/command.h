/* The program's commands: one file each, over rubato.h alone. */
#ifndef RUBATO_CLI_COMMAND_H
#define RUBATO_CLI_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "rubato.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* The values of the command line; zero where it has none. */
typedef struct arguments {
    const char *model, *file;
    const char *models[64]; /* for a command that takes several models */
    size_t model_count;
    /* the library's options; each group as in its table in rubato.h */
    rubato_load_options load;
    rubato_context_options context;
    rubato_text_options text;
    rubato_options run;
    rubato_eval_options eval;
    rubato_train_options train;
    rubato_trim_options trim;
    rubato_quantize_options quantize;
    rubato_search_options search;
    rubato_pull_options pull;
    /* the program's own: options.c */
    const char *query, *corpus, *output, *target_drop, *batches, *lengths, *targets, *labels, *hypothesis;
    size_t top;
    uint64_t seed;
    int json, jsonl, cost, quiet, help, tokens, words, raw, allow_empty, check, roofline, multi_label;
    struct {
        const char *host, *slo, *api_key, *auto_truncate, *tls_cert, *tls_key, *cors_allow_origin;
        size_t port, max_batch_tokens, max_queue, max_client_batch_size, max_body, client_timeout;
        int json_log, log_texts;
    } serve;
} arguments;

typedef struct command {
    const char *name, *operands, *summary;
    /* The command's options by group and name: "run.budget json train.*"; names without a group are the program's. Help
     * shows them in this order. */
    const char *options;
    const char *examples; /* lines for --help */
    int (*run)(const arguments *given);
} command;

/* Every command, in the order of the help; command_NAME is defined in command_NAME.c. */
#define COMMANDS(X)                                                                                                    \
    X(embed)                                                                                                           \
    X(classify)                                                                                                        \
    X(tag)                                                                                                             \
    X(answer)                                                                                                          \
    X(rerank)                                                                                                          \
    X(fill)                                                                                                            \
    X(zero_shot)                                                                                                       \
    X(search_text)                                                                                                     \
    X(tokenize)                                                                                                        \
    X(info) X(eval) X(train) X(search) X(calibrate) X(trim) X(quantize) X(serve) X(bench) X(pull) X(completion)        \
        X(manual)

#define DECLARE_COMMAND(name) extern const command command_##name;
COMMANDS(DECLARE_COMMAND)
#undef DECLARE_COMMAND

extern const command *const commands[]; /* NULL ends the list */

/* The options of every command that runs a model. */
#define RUN_OPTIONS " text.max_length run.budget target_drop cost load.* context.* json seed quiet help"

/* ---- Shared by commands ---- */

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

/* The same without weights and context, for a command that runs nothing. */
int session_describe(session *s, const arguments *given);
void session_close(session *s);

/* ---- Input ---- */

typedef struct record {
    char *text, *pair; /* the caller's line; pair NULL */
    size_t text_bytes, pair_bytes;
    char **documents; /* rerank: of a JSON object */
    size_t document_count;
    const char *file; /* NULL: standard input */
    size_t line;
} record;

typedef struct reader reader;

/* The kind of object that a JSON line must hold. */
typedef enum record_kind { RECORD_TEXT, RECORD_QUESTION, RECORD_DOCUMENTS } record_kind;

/* Opens the file, or standard input for NULL and "-". */
int reader_open(reader **out, const char *path, bool jsonl, record_kind kind);

/* Reads the next records, up to some thousands; *count is 0 at the end. A line that cannot be used is reported and
 * skipped; reader_failed tells afterwards. The records live until the next call. */
int reader_next(reader *self, record **records, size_t *count);
bool reader_failed(const reader *self);
void reader_close(reader *self);

/* ---- Output ---- */

void print_json_string(const char *text, size_t bytes);
void print_float(double value);
void print_cost(const rubato_cost *cost);

/* Prints `, "cost": {...}` for --json, or a readable line, when costs were asked for. */
void print_cost_member(const arguments *given, const rubato_cost *cost);

/* The labels of one text: all members of a JSON object, or in words. */
typedef struct scored_labels {
    const char *const *labels;
    const float *scores;
    size_t count;
    bool sorted;  /* JSON: the best first, not in the model's order */
    bool several; /* in words: all labels, not the best one alone */
} scored_labels;

/* Prints them, or the --top best. Returns the exit status. */
int print_labels(const arguments *given, const scored_labels *what);

/* Prints the words that each layer kept, for --words: a member of the JSON object, or a readable line for each
 * layer. */
int print_words(session *s, const arguments *given, const rubato_input *input);

/* Prints the version, and how the program was built. Returns the exit status. */
int print_version(bool json);

/* Flushes standard output; EXIT_FAILED with a message when that fails (a full disk, say). */
int finish_output(int status);

/* The usual loop of a command: `each` on the input in chunks, with a place for what a running function says they cost,
 * then `finish` (NULL for none) with the same session. */
typedef int each_chunk(void *user, session *s, const arguments *given, const record *records, size_t count,
                       const rubato_input *inputs, rubato_costs **costs);
typedef int finish_input(void *user, session *s, const arguments *given);
int for_each_chunk(const arguments *given, record_kind kind, each_chunk *each, finish_input *finish, void *user);

/* The same with a session that is open; closes it. */
int session_each_chunk(session *s, const arguments *given, record_kind kind, each_chunk *each, finish_input *finish,
                       void *user);

/* "rubato: FILE: line N: " on standard error, before a message about a line. */
void print_place(const char *file, size_t line);

/* Reports the error of a running function, with the file and line of its input. */
int report_record(const rubato_error *error, const record *records, size_t count);

#endif
