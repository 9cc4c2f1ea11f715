/* rubato manual: the manual page, made from the same tables as the help. docs/rubato.1 is its output. */
#include <string.h>

#include "cli/options.h"

/* Prints text for roff: hyphens can be copied as hyphens, and no line begins a request. */
static void print_roff(const char *text) {
    bool begins = true;
    for (; *text; text++) {
        if (begins && (*text == '.' || *text == '\'')) fputs("\\&", stdout);
        begins = *text == '\n';
        if (*text == '-' || *text == '\\')
            printf("\\%s", *text == '-' ? "-" : "e");
        else
            putchar(*text);
    }
}

static void print_option(const rubato_option *option) {
    char text[640], usage[64];
    option_usage(option, usage, sizeof usage);
    option_describe(option, text, sizeof text);
    printf(".TP\n.B ");
    print_roff(usage);
    printf("\n");
    print_roff(text);
    printf("\n");
}

static bool is_among(const rubato_option *option, const placed_option *options, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (options[i].option == option) return true;
    return false;
}

static void print_command(const command *which, const placed_option *common, size_t common_count) {
    placed_option options[MOST_OPTIONS];
    size_t count = options_of(which, options);
    printf(".SS ");
    print_roff(which->name);
    printf("\n.B rubato ");
    print_roff(which->name);
    printf("%s", *which->operands ? " " : "");
    print_roff(which->operands);
    printf("\n.br\n");
    print_roff(which->summary);
    printf("\n");
    for (size_t i = 0; i < count; i++)
        if (!is_among(options[i].option, common, common_count)) print_option(options[i].option);
    printf(".PP\n.nf\n");
    print_roff(which->examples);
    printf(".fi\n");
}

static const char begin[] =
    ".SH NAME\n"
    "rubato \\- run BERT-family encoders on CPUs\n"
    ".SH SYNOPSIS\n"
    ".B rubato\n"
    ".I COMMAND MODEL\n"
    ".RI [ options ]\n"
    ".RI [ FILE ]\n"
    ".SH DESCRIPTION\n"
    ".B rubato\n"
    "turns texts into embeddings, labels, entities, answers and rankings with BERT, DistilBERT, "
    "ELECTRA, RoBERTa,\n"
    "XLM-RoBERTa, ALBERT, MPNet, Funnel, MobileBERT, Longformer, Big Bird and ModernBERT checkpoints.\n"
    ".PP\n"
    ".I MODEL\n"
    "is a folder in Hugging Face layout, the name of a model under\n"
    ".IR models/ ,\n"
    "or a hub id such as\n"
    ".I org/name\n"
    "that\n"
    ".B rubato pull\n"
    "has put into the Hugging Face cache.\n"
    "Texts are the lines of\n"
    ".I FILE\n"
    "or of standard input. The name of the file gives its form: JSON objects in\n"
    ".IR .jsonl ,\n"
    "records below a header in\n"
    ".I .csv\n"
    "and\n"
    ".IR .tsv ,\n"
    "else a text in each line; any of them may be compressed\n"
    ".RI ( .gz ).\n"
    "One row goes out for each row that comes in, with its other members; a row that cannot be answered has an error.\n"
    "Results go to standard output, everything else to standard error.\n";

static const char end[] = ".SH BUDGETS\n"
                          "A budget is the most that an answer may cost:\n"
                          ".TP\n.B full\nthe whole model\n"
                          ".TP\n.B 0.4x\nthis part of the full model's operations at the text's length\n"
                          ".TP\n.B 8ms\nmilliseconds, by this machine's cost model\n.RB ( \"rubato calibrate\" )\n"
                          ".TP\n.B drop:0.5\nthe cheapest point that loses at most half a point of quality\n"
                          ".TP\n.BI @ NAME\nan operating point by its name;\n.B rubato info\nlists them\n"
                          ".PP\nA point with early exits keeps a budget on average over texts; with\n.B \\-\\-strict\n"
                          "every single text keeps it, or is refused.\n"
                          ".PP\nA model without a frontier has only\n.BR full .\n"
                          ".SH ENVIRONMENT\n"
                          "An option on the command line counts more than its variable.\n"
                          ".TP\n.B HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE\n"
                          "as huggingface_hub reads them\n"
                          ".TP\n.B XDG_CACHE_HOME\nfolder of the cost models (rubato/cost-*.json); else ~/.cache\n"
                          ".TP\n.B HOSTNAME, DTYPE, JSON_OUTPUT\n"
                          "for\n.BR serve ,\nas text-embeddings-inference reads them\n"
                          ".PP\nThe help of an option names its variable where it has one.\n"
                          ".SH EXIT STATUS\n"
                          "0 success, 1 the work failed, 2 wrong usage.\n";

static int run(const arguments *given) {
    (void)given;
    placed_option common[MOST_OPTIONS];
    size_t count = options_of(&(command){.options = &RUN_OPTIONS[1]}, common);
    printf(".\\\" Made by rubato manual.\n.TH RUBATO 1 \"2026\" \"rubato %s\" \"User Commands\"\n%s", rubato_version(),
           begin);
    printf(".SH COMMON OPTIONS\nMost commands that run a model take these:\n");
    for (size_t i = 0; i < count; i++) print_option(common[i].option);
    printf(".SH COMMANDS\n.B rubato\n.I COMMAND\n.B \\-\\-help\nlists all options of a command.\n.PP\n.B rubato "
           "\\-\\-version\nsays how the program was built.\n");
    for (size_t i = 0; commands[i]; i++) print_command(commands[i], common, count);
    fputs(end, stdout);
    return finish_output(EXIT_OK);
}

const command command_manual = {"manual",
                                "",
                                "Prints the manual page.",
                                "help",
                                "  rubato manual | man -l -\n"
                                "  rubato manual > rubato.1\n",
                                run};
