/* Reading the command line: --name value, --name=value, flags, then the operands. */
#include "cli/arguments.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef enum { OPTION_FLAG, OPTION_NUMBER, OPTION_TEXT } option_kind;

typedef struct option {
    const char *name;
    option_kind kind;
    size_t offset;
    const char *value, *help;
} option;

#define FLAG(name, field, help)                                                                                        \
    { name, OPTION_FLAG, offsetof(arguments, field), NULL, help }
#define NUMBER(name, field, help)                                                                                      \
    { name, OPTION_NUMBER, offsetof(arguments, field), "N", help }
#define TEXT(name, field, value, help)                                                                                 \
    { name, OPTION_TEXT, offsetof(arguments, field), value, help }

static const option options[] = {
    TEXT("query", query, "TEXT", "the query"),
    TEXT("corpus", corpus, "FILE", "the corpus, a text a line (or give it as FILE)"),
    TEXT("task", task, "TASK", "classification, regression, tagging, qa, retrieval, sts or mlm"),
    TEXT("data", data, "FILE", "the data set: .tsv, .csv, .jsonl, SQuAD .json, CoNLL; a folder for retrieval"),
    TEXT("columns", columns, "LIST", "columns of the data, as text=NAME,pair=NAME,label=NAME"),
    NUMBER("limit", limit, "use the first N examples only"),
    NUMBER("batch-size", batch_size, "samples a step (default 32)"),
    NUMBER("top", top, "how many results (default 5)"),
    TEXT("output", output, "FILE", "write float32 [lines, width] to a .npy file instead"),
    TEXT("prompt", prompt, "NAME|TEXT", "put before every text: a prompt of the model by name, or a text"),
    FLAG("tokens", tokens, "one label a token instead of entities"),
    FLAG("words", words, "show which words were kept at which layer"),
    FLAG("raw", raw, "logits instead of probabilities"),
    FLAG("allow-empty", allow_empty, "answer nothing where \"no answer\" is likelier"),
    FLAG("no-special", no_special, "without [CLS], [SEP] and the like"),
    FLAG("special-as-text", special_as_text, "special tokens in the text are plain characters"),
    TEXT("truncation", truncation, "HOW", "longest_first (default), only_first or only_second"),
    FLAG("left", left, "truncate at the beginning instead of the end"),
    NUMBER("stride", stride, "tokens that windows of a long text share"),
    FLAG("roofline", roofline, "where the time goes, part by part, and what the machine allows"),
    TEXT("batch", batches, "LIST", "batch sizes, as 1,32"),
    TEXT("length", lengths, "LIST", "lengths in tokens, as 16,128"),
    TEXT("dev", dev, "FILE", "a data set to judge by; the best weights are kept"),
    TEXT("out", out, "DIR", "folder of the result"),
    TEXT("recipe", recipe, "NAME",
         "finetune (default), length-adaptive, power-bert, branchynet, deebert, right-tool, fastbert, pabee, tokee, "
         "act, "
         "slimmable, "
         "dynabert or anytime"),
    TEXT("labels", labels, "LIST", "names of the labels in order, as negative,positive (default: the data's)"),
    TEXT("epochs", epochs, "X", "passes over the data (default: by the recipe)"),
    TEXT("rate", rate, "X", "learning rate (default: by the recipe)"),
    TEXT("warm-up", warm_up, "X", "share of the steps in which the rate rises (default: by the recipe)"),
    TEXT("decay", decay, "X", "weight decay (default: by the recipe)"),
    TEXT("clip", clip, "X", "largest norm of the gradient (default 1; 0: none)"),
    TEXT("dropout", dropout, "X", "dropout rate (default: config.json's)"),
    TEXT("length-drop", length_drop, "X", "largest share of rows that a layer drops (default 0.2; anytime: 0.3)"),
    TEXT("merges", merges, "N", "neighbouring rows merge in up to so many layers (default 0; anytime: half of them)"),
    TEXT("match-states", match_states, "X", "weight of a teacher's hidden states (default 0; dynabert, anytime: 1)"),
    TEXT("layer-drop", layer_drop, "X", "probability of a layer to be left out (default 0.2; anytime: 0.1)"),
    NUMBER("sandwiches", sandwiches, "random smaller models a step (default 2)"),
    FLAG("refine", refine, "smaller models are the points that search found: more training for just those"),
    TEXT("refine-from", refine_from, "X", "of those, points that cost at least such a part of the full model"),
    TEXT("refine-to", refine_to, "X", "of those, points that cost at most such a part of the full model"),
    TEXT("teacher", teacher, "MODEL", "learn from its answers instead of the labels, which may then be missing"),
    FLAG("no-distillation", no_distillation, "smaller models learn from the labels, not from the full one"),
    TEXT("divergence", divergence, "HOW", "sub (default): KL(sub || full); full: KL(full || sub)"),
    TEXT("significance", significance, "HOW", "received (default), others, random or first"),
    TEXT("widths", widths, "LIST", "parts of heads and neurons, falling from 1 (default 1,0.75,0.5,0.25)"),
    FLAG("frozen", frozen, "the model stays as it is; exits alone are trained"),
    FLAG("exit-mean", exit_mean, "exits read the mean of all rows instead of [CLS] (not students, not of taggers)"),
    TEXT("exit-layers", exit_layers, "LIST", "layers, from 0 on, after which exits stand (default: by the recipe)"),
    TEXT("ponder", ponder, "X", "act: price of a layer (default 0.01)"),
    TEXT("soft-rate", soft_rate, "X", "learning rate of power-bert's factors (default 1e-3)"),
    TEXT("soft-penalty", soft_penalty, "X", "power-bert's lambda (default 1e-3)"),
    NUMBER("micro-tokens", micro_tokens, "tokens of one pass; a longer step is run in parts (default 8192)"),
    NUMBER("eval-steps", eval_steps, "steps between evaluations (default: four an epoch)"),
    NUMBER("checkpoint-steps", checkpoint_steps, "steps between checkpoints (default: every evaluation)"),
    FLAG("keep-order", keep_order, "samples in the file's order"),
    FLAG("resume", resume, "go on from the last checkpoint in --out, bit for bit"),
    TEXT("store", store, "TYPE", "type of the written weights: f32 (default), f16 or bf16"),
    TEXT("cost", cost_kind, "WHAT", "flops (default), or ms by this machine's cost model"),
    TEXT("lowest", lowest, "X", "cheapest cost of interest, of the full model (default 0.15)"),
    NUMBER("iterations", iterations, "rounds of the search (default 15)"),
    NUMBER("mutations", mutations, "new candidates a round by mutation (default 20)"),
    NUMBER("crossovers", crossovers, "and by crossing (default 20)"),
    TEXT("axes", axes, "LIST", "what points may differ in: lengths,merges,depth,widths,exits,precision (default: all)"),
    FLAG("depth", depth, "layers may be left out (default: where LayerDrop was trained)"),
    FLAG("no-depth", no_depth, "layers may not be left out"),
    FLAG("check", check, "compare predictions with measured times"),
    TEXT("to", to, "P", "int8, bf16 or f32"),
    TEXT("max-drop", max_drop, "X", "points of quality that it may cost; layers stay in bf16 as needed"),
    TEXT("smooth", smooth, "X", "int8: let weights take over outliers of the inputs, as 0.5; measured on --data"),
    TEXT("layers", layers, "LIST", "the layers that stay, from 0 on, as 0,2,5 (default: all)"),
    TEXT("drop", drop, "HOW", "layers that go: top:K, bottom:K, odd:K, even:K, symmetric:K or contribution:COSINE"),
    NUMBER("vocabulary", vocabulary, "how many word pieces stay, by their count in --data (default: all)"),
    NUMBER("positions", positions, "longest sequence in tokens (default: the model's)"),
    TEXT("host", host, "ADDRESS", "address to listen on (default 0.0.0.0)"),
    NUMBER("port", port, "port to listen on (default 3000)"),
    TEXT("slo", slo, "TIME", "time within which to answer, as 50ms; cheaper points keep it under load"),
    NUMBER("max-batch-tokens", max_batch_tokens, "tokens of one run (default 16384)"),
    NUMBER("max-queue", max_queue, "texts accepted and not answered yet; more are refused (default 512)"),
    NUMBER("max-client-batch-size", max_client_batch, "texts of one request (default 32)"),
    NUMBER("max-body", max_body, "bytes of one request (default 2000000)"),
    TEXT("api-key", api_key, "KEY", "what clients must send as Authorization: Bearer KEY"),
    TEXT("auto-truncate", auto_truncate, "BOOL", "cut texts that are too long (default true); else they are errors"),
    NUMBER("client-timeout", client_timeout, "seconds that a client may take to send a request (default 60)"),
    TEXT("tls-cert", tls_cert, "FILE", "serve HTTPS with this certificate chain (PEM)"),
    TEXT("tls-key", tls_key, "FILE", "and this key"),
    TEXT("cors-allow-origin", cors, "ORIGIN", "pages of this origin may call (default: of any)"),
    TEXT("log", log, "HOW", "a line a request as text (default) or json"),
    FLAG("log-texts", log_texts, "with the text of users in it"),
    TEXT("revision", revision, "NAME", "branch, tag or commit (default main)"),
    FLAG("jsonl", jsonl, "input lines are JSON objects"),
    FLAG("json", json, "one JSON object a line on standard output"),
    TEXT("budget", budget, "B", "what an answer may cost: full (default)"),
    TEXT("target-drop", target_drop, "X",
         "the cheapest point that loses at most X points of quality; as --budget drop:X"),
    TEXT("precision", precision, "P",
         "of the products: f32, bf16, int8, or f32+int8 for points in either (default: as stored)"),
    NUMBER("threads", threads, "threads (default: what affinity and the container's quota allow)"),
    NUMBER("batch-tokens", batch_tokens,
           "tokens of one packed batch a thread; bounds memory (default 192 or 512, by the model)"),
    NUMBER("max-length", max_length, "longest sequence in tokens, special ones included (default: the model's)"),
    TEXT("isa", isa, "NAME", "scalar, neon, avx2, avx512, vnni or bf16 (default: the best there is; also RUBATO_ISA)"),
    FLAG("cost", cost, "say what each answer cost and what was cut"),
    NUMBER("seed", seed, "seed of anything random (default 0)"),
    FLAG("quiet", quiet, "no progress, no warnings"),
    FLAG("help", help, "this text"),
};

enum { OPTION_COUNT = sizeof options / sizeof options[0] };

/* A command lists what it takes; "cost=" is the option of that name with a value, "cost" the flag. */
static bool takes(const command *which, const option *one) {
    char padded[40];
    bool twofold = strcmp(one->name, "cost") == 0 && one->kind == OPTION_TEXT;
    snprintf(padded, sizeof padded, " %s%s ", one->name, twofold ? "=" : "");
    return strstr(which->options, padded) != NULL;
}

void arguments_help(const command *which) {
    printf("Usage: rubato %s %s [options]\n%s\n\nOptions:\n", which->name, which->operands, which->summary);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (!takes(which, &options[i])) continue;
        char left[48];
        snprintf(left, sizeof left, "--%s%s%s", options[i].name, options[i].value ? " " : "",
                 options[i].value ? options[i].value : "");
        printf("  %-22s %s\n", left, options[i].help);
    }
    printf("\nExamples:\n%s", which->examples);
}

static int set_option(arguments *given, const option *which, const char *value) {
    char *field = (char *)given + which->offset;
    if (which->kind == OPTION_FLAG) {
        *(bool *)(void *)field = true;
    } else if (which->kind == OPTION_TEXT) {
        *(const char **)(void *)field = value;
    } else {
        char *end;
        errno = 0;
        unsigned long long number = strtoull(value, &end, 10);
        if (*end || end == value || value[0] == '-' || errno) {
            fprintf(stderr, "rubato: --%s: \"%s\" is not a whole number\n", which->name, value);
            return EXIT_USAGE;
        }
        *(uint64_t *)(void *)field = number;
    }
    return EXIT_OK;
}

/* The option of that name, of two the one that the command takes. */
static const option *find_option(const command *which, const char *name, size_t length) {
    const option *found = NULL;
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (strlen(options[i].name) == length && strncmp(options[i].name, name, length) == 0 &&
            (!found || takes(which, &options[i])))
            found = &options[i];
    return found;
}

int arguments_parse(arguments *given, const command *which, int argc, char **argv) {
    *given = (arguments){0};
    bool only_operands = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (only_operands || word[0] != '-' || !word[1]) {
            if (!given->model) given->model = word;
            if (strstr(which->operands, "...") && given->model_count < sizeof given->models / sizeof *given->models)
                given->models[given->model_count++] = word;
            else if (given->model == word)
                continue;
            else if (!given->file)
                given->file = word;
            else
                return report_usage("\"%s\" is one operand too many; see --help", word);
            continue;
        }
        if (strcmp(word, "--") == 0) {
            only_operands = true;
            continue;
        }
        if (strcmp(word, "-h") == 0) word = "--help";
        const char *name = word + 2, *equals = strchr(word, '=');
        size_t length = equals ? (size_t)(equals - name) : strlen(name);
        const option *found = word[1] == '-' ? find_option(which, name, length) : NULL;
        if (!found) return report_usage("unknown option %s; see --help", word);
        if (!takes(which, found)) {
            fprintf(stderr, "rubato: %s does not take --%s; see rubato %s --help\n", which->name, found->name,
                    which->name);
            return EXIT_USAGE;
        }
        const char *value = equals ? equals + 1 : NULL;
        if (found->kind == OPTION_FLAG && value) return report_usage("%s: takes no value", word);
        if (found->kind != OPTION_FLAG && !value) {
            if (i + 1 == argc) return report_usage("%s: needs a value", word);
            value = argv[++i];
        }
        int status = set_option(given, found, value);
        if (status != EXIT_OK) return status;
    }
    if (!given->model && !given->help)
        return report_usage("which model? Usage: rubato %s; see --help", which->operands);
    return EXIT_OK;
}
