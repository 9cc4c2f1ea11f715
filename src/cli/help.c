/* rubato --help and rubato COMMAND --help. */
#include <string.h>

#include "cli/arguments.h"
#include "cli/options.h"

enum { WIDTH = 100, COMMAND_INDENT = 15, OPTION_INDENT = 28 };

/* Prints an indented entry, then its text in lines of at most WIDTH. Without an entry the indent is 0. */
static void print_entry(FILE *out, const char *entry, int indent, const char *text) {
    int column = entry ? fprintf(out, "  %-*s", indent - 3, entry) : 0;
    bool fits = column < indent || !entry;
    while (*text) {
        size_t bytes = strcspn(text, " ");
        if (!fits || column + 1 + (int)bytes > WIDTH) column = fprintf(out, "\n%*s", indent ? indent - 1 : 0, "") - 1;
        column += fprintf(out, "%s%.*s", column ? " " : "", (int)bytes, text);
        text += bytes + strspn(text + bytes, " ");
        fits = true;
    }
    fputc('\n', out);
}

void print_help(FILE *out) {
    fputs("Usage: rubato COMMAND MODEL [options] [FILE]\n", out);
    print_entry(out, NULL, 0,
                "Runs BERT-family encoders on CPUs. MODEL is a folder in Hugging Face layout, a hub id that was "
                "pulled, or the name of a model in models/. Texts are the lines of FILE or of standard input.");
    fputs("\nExamples, with a model that comes with Rubato:\n"
          "    echo 'A film with a heart.' | rubato classify sentiment\n"
          "    rubato serve sentiment            # http://localhost:3000 is a page to try it\n",
          out);
    fputs("\nCommands:\n", out);
    for (size_t i = 0; commands[i]; i++) print_entry(out, commands[i]->name, COMMAND_INDENT, commands[i]->summary);
    fputs("\nrubato COMMAND --help says more; rubato --version [--json] says how the program was built.\n"
          "Exit status: 0 success, 1 the work failed, 2 wrong usage.\n",
          out);
}

static void print_option(const rubato_option *option) {
    char usage[64], text[640];
    option_usage(option, usage, sizeof usage);
    option_describe(option, text, sizeof text);
    print_entry(stdout, usage, OPTION_INDENT, text);
}

void print_command_help(const command *which) {
    placed_option options[MOST_OPTIONS];
    bool printed[MOST_OPTIONS] = {false};
    size_t count = options_of(which, options);
    printf("Usage: rubato %s%s%s [options]\n", which->name, *which->operands ? " " : "", which->operands);
    print_entry(stdout, NULL, 0, which->summary);
    for (size_t i = 0; i < count; i++) {
        if (printed[i]) continue;
        printf("\n%s:\n", options[i].option->section);
        for (size_t j = i; j < count; j++) {
            if (strcmp(options[j].option->section, options[i].option->section) != 0) continue;
            print_option(options[j].option);
            printed[j] = true;
        }
    }
    printf("\nExamples:\n%s", which->examples);
}
