/* The program's own options, one line each, and the options that a command takes. */
#include "cli/options.h"

#include <stdlib.h>
#include <string.h>

#include "options/table.h"

OPTION_CHOICES(truths, "true", "false")
OPTION_CHOICES(logs, "text", "json")
OPTION_CHOICES(errors, "row", "skip", "stop")

#define OPTION_OWNER arguments
#define OPTION_SECTION "Texts"
static const rubato_option program_table[] = {
    FLAG_OPTION(jsonl, jsonl, "read JSON objects, one in each line, whatever the file's name"),
    FLAG_OPTION(whole_file, whole_file, "the file is one text, instead of a text in each line"),
    TEXT_OPTION(columns, columns, "LIST", NULL, "by their common names",
                "columns of a table or keys of JSON objects that hold the texts, as text=NAME,pair=NAME"),
    CHOICE_OPTION(on_error, int, on_error, "HOW", errors, "row",
                  "a row that cannot be answered gives a row with the error, is left out, or ends the command"),
    FLAG_OPTION(line_buffered, line_buffered, "answer each line as soon as it arrives"),
    TEXT_OPTION(prompt, prompt, "NAME", NULL, "the model's default prompt",
                "name of one of the model's prompts, to put before every text"),
    TEXT_OPTION(query, query, "TEXT", NULL, NULL, "the query"),
    TEXT_OPTION(queries, queries, "FILE", NULL, NULL,
                "a file of queries instead; with --json each gets one object, with a list of results"),
    TEXT_OPTION(corpus, corpus, "FILE", NULL, NULL, "the corpus, in place of the operand FILE"),
    TEXT_OPTION(index, index, "FILE", NULL, NULL,
                "keep the vectors of the corpus in this .npy file: the first command writes it, later ones read it"),
#undef OPTION_SECTION
#define OPTION_SECTION "Answers"
    SIZE_OPTION(top, top, "5; rerank, classify, zero-shot: all", "number of results"),
    TEXT_OPTION(targets, targets, "LIST", NULL, "all tokens",
                "the words that may fill a mask, as cat,dog; of a word that is no token, its first token"),
    TEXT_OPTION(labels, labels, "LIST", NULL, NULL, "the labels to choose from, as sport,politics,science"),
    TEXT_OPTION(template, hypothesis, "TEXT", NULL, "This example is {}.",
                "the sentence that says a label, with {} in the label's place"),
    FLAG_OPTION(multi_label, multi_label, "several labels may be true: each gets a probability of its own"),
    FLAG_OPTION(tokens, tokens, "one label for each token instead of entities"),
    FLAG_OPTION(words, words, "show the words that each layer kept"),
    FLAG_OPTION(raw, raw, "logits instead of probabilities"),
    FLAG_OPTION(allow_empty, allow_empty, "give no answer where \"no answer\" is more probable"),
    SIZE_OPTION(passages, passages, "none", "cut texts into passages of at most N tokens, and give each its vector"),
    FLAG_OPTION(late, late,
                "with --passages: make the vectors of one pass over the whole text, which passages then know"),
    TEXT_OPTION(output, output, "FILE", NULL, NULL, "write the vectors, float32 [rows, width], to a .npy file"),
    FLAG_OPTION(resume, resume, "continue the rows of an interrupted command, which FILE.part holds"),
    FLAG_OPTION(overwrite, overwrite, "replace a file or index that is there, and the rows of an interrupted command"),
#undef OPTION_SECTION
#define OPTION_SECTION "Cost and speed"
    TEXT_OPTION(target_drop, target_drop, "X", NULL, NULL,
                "run the cheapest point that loses at most X points of quality; the same as --budget drop:X"),
    FLAG_OPTION(cost, cost, "print the cost of each answer and the number of tokens that were cut"),
#undef OPTION_SECTION
#define OPTION_SECTION "Measurement"
    TEXT_OPTION(plot, plot, "FILE.svg", NULL, NULL, "draws the use over the steps of the runs' training"),
    TEXT_OPTION(batch, batches, "LIST", NULL, "1,32", "numbers of sequences, as 1,32"),
    TEXT_OPTION(length, lengths, "LIST", NULL, "8,32,128,512, as far as the model takes them",
                "lengths in tokens, as 16,128"),
    FLAG_OPTION(roofline, roofline, "show the time of each part, and the limit of the machine"),
    FLAG_OPTION(check, check, "compare predictions with measured times"),
#undef OPTION_SECTION
#define OPTION_SECTION "General"
    FLAG_OPTION(json, json, "print JSON, one object in each line"),
    SEED_OPTION(seed, seed, "seed of all random choices"),
    FLAG_OPTION(quiet, quiet, "no progress, no warnings"),
    FLAG_OPTION(help, help, "print this text; also -h"),
};

#undef OPTION_SECTION
#define OPTION_SECTION "Server"
static const rubato_option serve_table[] = {
    TEXT_OPTION(host, serve.host, "ADDRESS", NULL, "127.0.0.1, this machine alone", "address to listen on"),
    OPTION(port, SIZE, size_t, serve.port, 1, 65535, 0, "N", NULL, "3000", "port to listen on"),
    TEXT_OPTION(slo, serve.slo, "TIME", NULL, "no promise",
                "promised time of an answer, as 50ms; under load cheaper points keep it"),
    TEXT_OPTION(api_key, serve.api_key, "KEY", NULL, "none needed",
                "key that clients send as Authorization: Bearer KEY"),
    TEXT_OPTION(cors_allow_origin, serve.cors_allow_origin, "ORIGIN", NULL, "any", "origin whose pages may call"),
    TEXT_OPTION(tls_cert, serve.tls_cert, "FILE", NULL, NULL, "serve HTTPS with this certificate chain (PEM)"),
    TEXT_OPTION(tls_key, serve.tls_key, "FILE", NULL, NULL, "private key of the certificate (PEM)"),
    TEXT_OPTION(auto_truncate, serve.auto_truncate, "BOOL", truths, "true",
                "cut texts that are too long; false: they are errors"),
    CHOICE_OPTION(log, int, serve.json_log, "HOW", logs, "text", "form of the log, one line for each request"),
    FLAG_OPTION(log_texts, serve.log_texts, "log the texts of users too"),
#undef OPTION_SECTION
#define OPTION_SECTION "Limits"
    SIZE_OPTION(max_batch_tokens, serve.max_batch_tokens, "16384", "the most tokens of one run"),
    SIZE_OPTION(max_queue, serve.max_queue, "512", "the most texts accepted and not answered yet; more are refused"),
    SIZE_OPTION(max_client_batch_size, serve.max_client_batch_size, "32", "the most texts of one request"),
    SIZE_OPTION(max_body, serve.max_body, "2000000", "the most bytes of one request"),
    SIZE_OPTION(client_timeout, serve.client_timeout, "60", "seconds that a client may take to send a request"),
};

#undef OPTION_SECTION
#define OPTION_SECTION "Settings of --attention"
#define SETTING(name, standard, help) TEXT_OPTION(name, setting.name, "N", NULL, standard, help)
static const rubato_option setting_table[] = {
    SETTING(landmarks, "64", "nystrom: means of segments of a text, by which its tokens see each other"),
    SETTING(taps, "0", "nystrom: tokens of a convolution of values, an odd number"),
    SETTING(window, "512", "longformer: tokens that a token sees around it"),
    SETTING(dilation, "1", "longformer: the window has every so manieth token, and is so many times as wide"),
    SETTING(dilated, "all", "longformer: heads that are dilated, the last ones"),
    SETTING(radius, "84", "etc: the farthest that a token sees"),
    SETTING(clip, "12", "etc: distances that have a label of their own"),
    SETTING(globals, "1", "longformer, etc: first tokens that see all, and that all see"),
    SETTING(block, "image: 128, with --columns 16; others: 64", "image, bigbird, sinkhorn: tokens of a block"),
    SETTING(flange, "100, with --columns 16", "image: tokens that a block sees on both of its sides"),
    SETTING(random, "3", "bigbird: blocks that are drawn for a block"),
    TEXT_OPTION(pattern, setting.pattern, "NAME", NULL, "strided", "sparse: strided or fixed"),
    SETTING(stride, "128", "sparse: tokens of a stride"),
    SETTING(summary, "8", "sparse, fixed: last tokens of a block, which all see"),
    SETTING(columns, "axial: 64; image: 0", "axial: tokens of a row; image: tokens of a line, 0: one dimension"),
    SETTING(lines, "8", "image of two dimensions: lines of a block"),
    SETTING(line_flange, "8", "image of two dimensions: lines that a block sees above and below"),
    SETTING(features, "256", "performer: random features of a head"),
    TEXT_OPTION(kernel, setting.kernel, "NAME", NULL, "softmax", "performer: softmax or relu"),
    SETTING(ratio, "3", "compressed, compressive: tokens of a key or row"),
    SETTING(slots, "linformer: 128; memory: 65536",
            "linformer: keys of a text; --memory: rows of its table, a square number"),
    SETTING(points, "64", "set: inducing points"),
    TEXT_OPTION(scores, setting.scores, "NAME", NULL, "dense", "synthesizer: dense or random"),
    TEXT_OPTION(mixed, setting.mixed, "true", NULL, "false", "synthesizer: with the scores of dense attention"),
    SETTING(iterations, "5", "sinkhorn: normalisations of rows and columns"),
    SETTING(chunk, "64", "reformer: tokens of a chunk"),
    SETTING(rounds, "1", "reformer: rounds of hashing"),
    SETTING(buckets, "by the length", "reformer: buckets of a round"),
    SETTING(clusters, "16", "routing: clusters of a head"),
    SETTING(segment, "128", "transformer-xl, compressive: tokens of a segment"),
    SETTING(compressed, "128", "compressive: rows of older tokens that it sees"),
    SETTING(cut, "0", "sinkhorn: sorted blocks that all tokens see alone (SortCut)"),
};

/* The names for serve are text-embeddings-inference's. command_serve.c reads variables that are more than the value of
 * one option. */
static const struct {
    const char *option, *variable;
} variables[] = {{"isa", "RUBATO_ISA"},
                 {"port", "PORT"},
                 {"slo", "SLO"},
                 {"api_key", "API_KEY"},
                 {"cors_allow_origin", "CORS_ALLOW_ORIGIN"},
                 {"auto_truncate", "AUTO_TRUNCATE"},
                 {"log", "LOG_FORMAT"},
                 {"max_batch_tokens", "MAX_BATCH_TOKENS"},
                 {"max_queue", "MAX_CONCURRENT_REQUESTS"},
                 {"max_client_batch_size", "MAX_CLIENT_BATCH_SIZE"},
                 {"max_body", "PAYLOAD_LIMIT"}};

const char *option_variable(const rubato_option *option) {
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        if (strcmp(variables[i].option, option->name) == 0) return variables[i].variable;
    return NULL;
}

/* ---- Groups ---- */

typedef struct group {
    const char *name;
    size_t offset; /* of its struct among the arguments */
} group;

/* Groups of the library, then the program's own. */
static const group groups[] = {[RUBATO_OPTIONS_LOAD] = {"load", offsetof(arguments, load)},
                               [RUBATO_OPTIONS_CONTEXT] = {"context", offsetof(arguments, context)},
                               [RUBATO_OPTIONS_TEXT] = {"text", offsetof(arguments, text)},
                               [RUBATO_OPTIONS_RUN] = {"run", offsetof(arguments, run)},
                               [RUBATO_OPTIONS_EVAL] = {"eval", offsetof(arguments, eval)},
                               [RUBATO_OPTIONS_TRAIN] = {"train", offsetof(arguments, train)},
                               [RUBATO_OPTIONS_TRIM] = {"trim", offsetof(arguments, trim)},
                               [RUBATO_OPTIONS_QUANTIZE] = {"quantize", offsetof(arguments, quantize)},
                               [RUBATO_OPTIONS_SEARCH] = {"search", offsetof(arguments, search)},
                               [RUBATO_OPTIONS_PULL] = {"pull", offsetof(arguments, pull)},
                               [RUBATO_OPTIONS_VOCABULARY] = {"vocabulary", offsetof(arguments, vocabulary)},
                               [RUBATO_OPTIONS_ADAPT] = {"adapt", offsetof(arguments, adapt)},
                               [RUBATO_OPTIONS_AUGMENT] = {"augment", offsetof(arguments, augment)},
                               [RUBATO_OPTIONS_CONVERT] = {"convert", offsetof(arguments, convert)},
                               [RUBATO_OPTIONS_MEMORY] = {"memory", offsetof(arguments, memory)},
                               [RUBATO_OPTIONS_GENERATE] = {"generate", offsetof(arguments, generate)},
                               [RUBATO_OPTION_GROUPS] = {"serve", 0},
                               [RUBATO_OPTION_GROUPS + 1] = {"", 0},
                               [RUBATO_OPTION_GROUPS + 2] = {"setting", 0}};
enum { GROUP_COUNT = sizeof groups / sizeof groups[0] };

/* Option number `index` of a group, NULL after the last. */
static const rubato_option *option_of(size_t number, size_t index) {
    if (number < RUBATO_OPTION_GROUPS) return rubato_option_at((rubato_option_group)number, index);
    static const struct {
        const rubato_option *table;
        size_t count;
    } own[] = {{serve_table, sizeof serve_table / sizeof *serve_table},
               {program_table, sizeof program_table / sizeof *program_table},
               {setting_table, sizeof setting_table / sizeof *setting_table}};
    number -= RUBATO_OPTION_GROUPS;
    return index < own[number].count ? &own[number].table[index] : NULL;
}

static bool same_word(const char *name, const char *word, size_t bytes) {
    return strlen(name) == bytes && memcmp(name, word, bytes) == 0;
}

/* Adds the options of a word: "group.name", "group.*" or "name". An unknown word is a mistake in a command's table. */
static size_t add_options(const char *word, size_t bytes, placed_option *out, size_t count) {
    const char *dot = memchr(word, '.', bytes);
    const char *name = dot ? dot + 1 : word;
    size_t name_bytes = bytes - (size_t)(name - word), before = count;
    bool all = same_word("*", name, name_bytes);
    const rubato_option *option;
    for (size_t i = 0; i < GROUP_COUNT; i++) {
        if (!same_word(groups[i].name, word, dot ? (size_t)(dot - word) : 0)) continue;
        for (size_t j = 0; (option = option_of(i, j)) && count < MOST_OPTIONS; j++)
            if (all || same_word(option->name, name, name_bytes))
                out[count++] = (placed_option){option, groups[i].offset};
    }
    if (count == before) {
        fprintf(stderr, "rubato: there is no option %.*s\n", (int)bytes, word);
        abort();
    }
    return count;
}

size_t options_of(const command *which, placed_option out[static MOST_OPTIONS]) {
    size_t count = 0;
    for (const char *word = which->options; *word;) {
        size_t bytes = strcspn(word, " ");
        count = add_options(word, bytes, out, count);
        word += bytes + strspn(word + bytes, " ");
    }
    return count;
}

bool options_know(const char *name, size_t bytes) {
    const rubato_option *option;
    bool off;
    for (size_t i = 0; i < GROUP_COUNT; i++)
        for (size_t j = 0; (option = option_of(i, j)); j++)
            if (option_is(option, name, bytes, &off)) return true;
    return false;
}

/* ---- Names ---- */

static bool spelled_alike(const char *name, const char *word, size_t bytes) {
    if (strlen(name) != bytes) return false;
    for (size_t i = 0; i < bytes; i++)
        if (name[i] != word[i] && !(name[i] == '_' && word[i] == '-')) return false;
    return true;
}

bool option_is(const rubato_option *option, const char *name, size_t bytes, bool *off) {
    *off = option->type == RUBATO_OPTION_SWITCH && bytes > 3 && memcmp(name, "no-", 3) == 0 &&
           spelled_alike(option->name, name + 3, bytes - 3);
    return *off || spelled_alike(option->name, name, bytes);
}

void option_spell(const rubato_option *option, char *out, size_t bytes) {
    snprintf(out, bytes, "--%s", option->name);
    for (; *out; out++)
        if (*out == '_') *out = '-';
}

void option_usage(const rubato_option *option, char *out, size_t bytes) {
    char name[64];
    option_spell(option, name, sizeof name);
    if (option->type == RUBATO_OPTION_SWITCH)
        snprintf(out, bytes, "%s, --no-%s", name, name + 2);
    else
        snprintf(out, bytes, "%s%s%s", name, option->value ? " " : "", option->value ? option->value : "");
}

/* Adds a remark to the remarks in brackets. */
static void add_remark(char *out, size_t bytes, bool *any, const char *before, const char *what) {
    size_t at = strlen(out);
    snprintf(out + at, bytes - at, "%s%s%s", *any ? "; " : " (", before, what);
    *any = true;
}

void option_describe(const rubato_option *option, char *out, size_t bytes) {
    char choices[320] = "";
    const char *variable = option_variable(option);
    bool any = false;
    for (size_t i = 0, at = 0; option->choice && option->choice(i) && at < sizeof choices; i++)
        at += (size_t)snprintf(choices + at, sizeof choices - at, "%s%s", i ? ", " : "", option->choice(i));
    snprintf(out, bytes, "%s", option->help);
    if (*choices) add_remark(out, bytes, &any, "", choices);
    if (option->standard) add_remark(out, bytes, &any, "default: ", option->standard);
    if (variable) add_remark(out, bytes, &any, "environment: ", variable);
    if (any) strncat(out, ")", bytes - strlen(out) - 1);
}
