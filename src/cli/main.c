/* The program: finds the command and runs it. */
#include <string.h>

#include "cli/arguments.h"
#include "cli/nearest_name.h"

#define COMMAND_ADDRESS(name) &command_##name,
const command *const commands[] = {COMMANDS(COMMAND_ADDRESS) NULL};

static const command *find_command(const char *name) {
    for (size_t i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
    return NULL;
}

static int report_unknown(const char *name) {
    nearest_name meant = {.word = name};
    for (size_t i = 0; commands[i]; i++) nearest_name_try(&meant, commands[i]->name);
    if (!*meant.name) return report_usage("no command \"%.80s\"; rubato --help lists them", name);
    fprintf(stderr, "rubato: no command \"%s\"; did you mean %s?\n", name, meant.name);
    return EXIT_USAGE;
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
    if (!which) return report_unknown(help ? argv[2] : name);
    arguments given;
    int status = help ? EXIT_OK : arguments_parse(&given, which, argc - 2, argv + 2);
    if (status != EXIT_OK) return status;
    if (help || given.help) {
        print_command_help(which);
        return finish_output(EXIT_OK);
    }
    return which->run(&given);
}
