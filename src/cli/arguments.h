/* Reading the command line. */
#ifndef RUBATO_CLI_ARGUMENTS_H
#define RUBATO_CLI_ARGUMENTS_H

#include "cli/command.h"

/* Fills *given for the command; EXIT_OK, or reports and returns EXIT_USAGE. */
int arguments_parse(arguments *given, const command *which, int argc, char **argv);

/* Prints the program's help, and that of a command. */
void print_help(FILE *out);
void print_command_help(const command *which);

#endif
