/* The program: which command, then that command. */
#include <string.h>

#include "cli/arguments.h"

static const command *const commands[] = {
    &command_embed,       &command_classify, &command_tag,      &command_answer, &command_rerank, &command_fill,
    &command_search_text, &command_tokenize, &command_info,     &command_eval,   &command_train,  &command_search,
    &command_calibrate,   &command_trim,     &command_quantize, &command_serve,  &command_bench,  &command_pull};

enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static void print_help(FILE *out) {
    fputs("Usage: rubato COMMAND MODEL [options] [FILE]\n"
          "Runs BERT-family encoders on CPUs. MODEL is a folder in Hugging Face layout, a hub id that was pulled, or "
          "the\n"
          "name of a model in models/. Texts are the lines of FILE or of standard input.\n\nCommands:\n",
          out);
    for (size_t i = 0; i < COMMAND_COUNT; i++) fprintf(out, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\nrubato COMMAND --help says more; rubato --version [--json] says how the program was built.\nExit status: "
          "0 success, 1 the work failed, 2 wrong usage.\n",
          out);
}

static const command *find_command(const char *name) {
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0) return print_version(argc > 2 && strcmp(argv[2], "--json") == 0);
    bool help = strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0;
    if (help && argc < 3) {
        print_help(stdout);
        return finish_output(EXIT_OK);
    }
    const command *which = find_command(help ? argv[2] : name);
    if (!which) return report_usage("no command \"%s\"; rubato --help lists them", help ? argv[2] : name);
    arguments given;
    int status = help ? EXIT_OK : arguments_parse(&given, which, argc - 2, argv + 2);
    if (status != EXIT_OK) return status;
    if (help || given.help) {
        arguments_help(which);
        return finish_output(EXIT_OK);
    }
    return which->run(&given);
}
