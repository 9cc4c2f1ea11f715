/* The program's commands: one file each, over rubato.h alone. */
#ifndef RUBATO_CLI_COMMAND_H
#define RUBATO_CLI_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "rubato.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* What a command does with a row that it cannot answer. */
enum { ON_ERROR_ROW, ON_ERROR_SKIP, ON_ERROR_STOP };

/* The values of the command line; zero where it has none. */
/* Settings of mechanisms of attention that have options of their own (options.c). */
#define ATTENTION_SETTINGS(EACH)                                                                                       \
    EACH(window)                                                                                                       \
    EACH(globals)                                                                                                      \
    EACH(block)                                                                                                        \
    EACH(flange)                                                                                                       \
    EACH(random)                                                                                                       \
    EACH(pattern)                                                                                                      \
    EACH(stride)                                                                                                       \
    EACH(summary)                                                                                                      \
    EACH(columns)                                                                                                      \
    EACH(features)                                                                                                     \
    EACH(kernel)                                                                                                       \
    EACH(ratio)                                                                                                        \
    EACH(slots)                                                                                                        \
    EACH(points)                                                                                                       \
    EACH(scores)                                                                                                       \
    EACH(mixed)                                                                                                        \
    EACH(iterations)                                                                                                   \
    EACH(cut)                                                                                                          \
    EACH(chunk) EACH(rounds) EACH(buckets) EACH(clusters) EACH(lines) EACH(line_flange) EACH(segment) EACH(compressed) \
        EACH(radius) EACH(landmarks) EACH(taps) EACH(dilation) EACH(dilated) EACH(clip)

typedef struct arguments {
    const char *model, *file;
    const char *models[1024]; /* for a command that takes several operands */
    size_t model_count;
    /* the library's options; each group as in its table in rubato.h */
    rubato_load_options load;
    rubato_context_options context;
    rubato_text_options text;
    rubato_options run;
    rubato_eval_options eval;
    rubato_train_options train;
    rubato_trim_options trim;
    rubato_convert_options convert;
    rubato_quantize_options quantize;
    rubato_search_options search;
    rubato_pull_options pull;
    rubato_vocabulary_options vocabulary;
    rubato_adapt_options adapt;
    rubato_augment_options augment;
    rubato_memory_options memory;
    rubato_generate_options generate;
    const char *plot; /* of memory */
    /* the program's own: options.c */
    const char *prompt, *query, *queries, *corpus, *index, *output, *target_drop, *batches, *lengths, *columns,
        *targets, *labels, *hypothesis;
    size_t top, passages;
    uint64_t seed;
    int json, jsonl, on_error, line_buffered, resume, overwrite, cost, quiet, help, tokens, words, raw, allow_empty,
        check, roofline, multi_label, late, whole_file;
    struct {
        const char *host, *slo, *api_key, *auto_truncate, *tls_cert, *tls_key, *cors_allow_origin;
        size_t port, max_batch_tokens, max_queue, max_client_batch_size, max_body, client_timeout;
        int json_log, log_texts;
    } serve;
    struct {
#define FIELD(name) const char *name;
        ATTENTION_SETTINGS(FIELD)
#undef FIELD
    } setting; /* of attention */
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
    X(generate)                                                                                                        \
    X(zero_shot)                                                                                                       \
    X(search_text)                                                                                                     \
    X(tokenize)                                                                                                        \
    X(info)                                                                                                            \
    X(vocabulary)                                                                                                      \
    X(augment)                                                                                                         \
    X(adapt)                                                                                                           \
    X(eval)                                                                                                            \
    X(train)                                                                                                           \
    X(memory) X(search) X(calibrate) X(trim) X(convert) X(quantize) X(serve) X(bench) X(pull) X(completion) X(manual)

#define DECLARE_COMMAND(name) extern const command command_##name;
COMMANDS(DECLARE_COMMAND)
#undef DECLARE_COMMAND

extern const command *const commands[]; /* NULL ends the list */

/* The options of every command that reads rows, and of every command that runs a model. */
#define ROW_OPTIONS "jsonl whole_file columns on_error line_buffered "
#define RUN_OPTIONS " text.max_length run.budget target_drop run.strict cost load.* context.* json seed quiet help"

/* ---- Shared by commands ---- */

/* Prints "rubato: message" and returns EXIT_FAILED, or EXIT_USAGE for a bad argument. */
int report(const rubato_error *error);
int report_text(const char *message);
int report_usage(const char *format, const char *what);

/* Of a command that reads windows only where they are asked for: refuses a stride without them. */
int check_windows(const arguments *given);

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

/* Prints what is irregular in a model's folder, for a command that gives the library its name. Nothing for NULL, or
 * where the folder holds no model: the command fails then. */
void warn_of_model(const arguments *given, const char *name);

/* Prints which kernels run and why they use no tiles: as words, "AVX2 instructions; no tiles: the processor has none",
 * or as members of an object, "isa", "kernels" and "no_tiles" ("" where tiles are used). */
void print_kernels(const session *s, bool json);

/* ---- Input ---- */

/* One row of the input. */
typedef struct record {
    char *text, *pair; /* pair NULL */
    size_t text_bytes, pair_bytes;
    char **documents; /* rerank: of a JSON object */
    size_t document_count;
    char *kept; /* the other members of a JSON object or fields of a table, as members of an answer: `"id": 7, `; NULL
                   for none */
    char *why;  /* why there is no answer; NULL for a row that can be answered */
    const char *file; /* NULL: standard input */
    size_t line;      /* its first line in the file */
    size_t row;       /* its number among the rows, from 0: a header and blank lines between rows are none */
} record;

typedef struct reader reader;

/* The texts that a row must hold: a text or a pair; one text; a question with its context; a query with documents. */
typedef enum record_kind { RECORD_TEXT, RECORD_DOCUMENT, RECORD_QUESTION, RECORD_DOCUMENTS } record_kind;

enum { CHUNK_LINES = 4096 }; /* the most rows of one call of reader_next */

/* Opens the operand FILE, or standard input. Its name gives the form: .jsonl, .csv and .tsv with a header, else a text
 * in each line, or with --whole-file one text; .gz behind it is unpacked. Reports a failure and returns the exit
 * status; then, too, the caller closes.
 */
int reader_open(reader **out, const arguments *given, record_kind kind);

/* Reads the next rows, at most `most`; *count is 0 at the end. A row that cannot be used has `why`. The records live
 * until the next call. */
int reader_next(reader *self, size_t most, record **records, size_t *count);

/* The part of the file that was read, 0 where that is unknown. */
double reader_share(const reader *self);
void reader_close(reader *self);

/* ---- Output ---- */

void print_json_string(const char *text, size_t bytes);
void print_float(double value);

/* Prints a text within one line, and a line's end. A terminal gets as much of it as fits behind `used` columns. */
void print_text_line(const char *text, size_t used);
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

/* A score, with the index of what it belongs to. */
typedef struct ranked {
    float score;
    size_t index;
} ranked;

/* Sorts the best first; of equal scores the lower index stands first. */
void sort_ranked(ranked *order, size_t count);

/* A copy of a text with its bytes of 0; NULL for NULL. Sets *failed where memory is short. */
char *copy_text(const char *text, size_t bytes, bool *failed);

/* Begins the JSON object of an answer with what is kept of its row: `{"id": 7, `. */
void print_row_begin(const record *r);

/* ---- The loop of a command ---- */

/* Answers some rows, all of which can be answered as far as is known, with a place for what they cost. EXIT_ROW, by way
 * of report_record: one of them cannot, and nothing was printed. */
typedef int each_chunk(void *user, session *s, const arguments *given, const record *records, size_t count,
                       const rubato_input *inputs, rubato_costs **costs);
typedef int finish_input(void *user, session *s, const arguments *given);
enum { EXIT_ROW = 100 };

/* What a command does with its input. All but `each` may be NULL or zero. */
typedef struct row_work {
    record_kind kind;
    bool one_by_one; /* `each` takes one row at a time */
    each_chunk *each;
    int (*refused)(void *user, const arguments *given, const record *row); /* instead of printing the error's row */
    finish_input *finish; /* after the last row, with the same session */
    bool (*stop)(void *user);
    void *user;
} row_work;

/* Reads all rows and answers each, in chunks that grow to what takes about a second. A row that cannot be answered
 * gives a row with the error in its place, or as --on-error says. Closes the session. */
int session_run(session *s, const arguments *given, const row_work *work);

/* The same with a new session. */
int for_each_row(const arguments *given, const row_work *work);

/* The usual case of it. */
int for_each_chunk(const arguments *given, record_kind kind, each_chunk *each, finish_input *finish, void *user);

/* "rubato: FILE: line N: " on standard error, before a message about a line. */
void print_place(const char *file, size_t line);

/* Reports the error of a running function: one with the number of an input becomes that row's (EXIT_ROW). */
int report_record(const rubato_error *error, const record *records, size_t count);

#endif
