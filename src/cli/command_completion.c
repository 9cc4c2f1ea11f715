/* rubato completion: scripts with which a shell completes commands, options and their values. */
#include <string.h>

#include "cli/options.h"

/* Prints text for a shell's single quotes: `special` characters get a backslash, and a quote becomes `quote`. */
static void print_quoted(const char *text, const char *special, const char *quote) {
    for (; *text && *text != '\n'; text++) {
        if (*text == '\'')
            fputs(quote, stdout);
        else
            printf("%s%c", strchr(special, *text) ? "\\" : "", *text);
    }
}

static void print_choices(const rubato_option *option) {
    for (size_t i = 0; option->choice && option->choice(i); i++) printf("%s%s", i ? " " : "", option->choice(i));
}

/* "--depth", and for a switch "--no-depth". */
static size_t names_of(const rubato_option *option, char names[2][64]) {
    option_spell(option, names[0], sizeof names[0]);
    snprintf(names[1], sizeof names[1], "--no-%.50s", names[0] + 2);
    return option->type == RUBATO_OPTION_SWITCH ? 2 : 1;
}

/* ---- bash ---- */

static void bash_command(const command *which, const placed_option *options, size_t count) {
    char names[2][64];
    printf("    %s)\n        options='", which->name);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < names_of(options[i].option, names); j++) printf("%s%s", i + j ? " " : "", names[j]);
    printf("'\n        case $before in\n");
    for (size_t i = 0; i < count; i++) {
        if (!options[i].option->choice) continue;
        names_of(options[i].option, names);
        printf("        %s) words='", names[0]);
        print_choices(options[i].option);
        printf("' ;;\n");
    }
    printf("        esac ;;\n");
}

static void bash_begin(void) {
    printf("_rubato() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} options= words=\n"
           "    COMPREPLY=()\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "        COMPREPLY=($(compgen -W '--help --version");
    for (size_t i = 0; commands[i]; i++) printf(" %s", commands[i]->name);
    printf("' -- \"$word\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n");
}

static void bash_end(void) {
    printf("    esac\n"
           "    if [ -n \"$words\" ]; then\n"
           "        COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
           "    elif [ \"${word#-}\" != \"$word\" ]; then\n"
           "        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
           "    fi\n"
           "}\n"
           "complete -o default -F _rubato rubato\n");
}

/* ---- zsh ---- */

static void zsh_begin(void) {
    printf("#compdef rubato\n_rubato() {\n    local context state state_descr line\n    typeset -A opt_args\n"
           "    _arguments -C '1:command:((");
    for (size_t i = 0; commands[i]; i++) {
        printf("%s%s\\:\"", i ? " " : "", commands[i]->name);
        print_quoted(commands[i]->summary, "\"\\:", "'\\''");
        printf("\"");
    }
    printf("))' '*::argument:->arguments'\n    [[ $state == arguments ]] || return\n    case $line[1] in\n");
}

static void zsh_command(const command *which, const placed_option *options, size_t count) {
    char names[2][64];
    printf("    %s) _arguments", which->name);
    for (size_t i = 0; i < count; i++) {
        const rubato_option *option = options[i].option;
        for (size_t j = 0; j < names_of(option, names); j++) {
            printf(" \\\n        '%s[", names[j]);
            print_quoted(option->help, "[]:\\", "'\\''");
            printf("]");
            if (option->value) printf(":%s:", option->value);
            if (option->choice) {
                printf("(");
                print_choices(option);
                printf(")");
            } else if (option->value) {
                printf("_files");
            }
            printf("'");
        }
    }
    printf(" \\\n        '*:file:_files' ;;\n");
}

static void zsh_end(void) {
    printf("    esac\n}\n"
           "if [ \"$funcstack[1]\" = _rubato ]; then\n    _rubato \"$@\"\nelse\n    compdef _rubato rubato\nfi\n");
}

/* ---- fish ---- */

static void fish_begin(void) {
    for (size_t i = 0; commands[i]; i++) {
        printf("complete -c rubato -n __fish_use_subcommand -f -a %s -d '", commands[i]->name);
        print_quoted(commands[i]->summary, "\\", "\\'");
        printf("'\n");
    }
}

static void fish_command(const command *which, const placed_option *options, size_t count) {
    char names[2][64];
    for (size_t i = 0; i < count; i++) {
        const rubato_option *option = options[i].option;
        for (size_t j = 0; j < names_of(option, names); j++) {
            printf("complete -c rubato -n '__fish_seen_subcommand_from %s' -l %s", which->name, names[j] + 2);
            if (option->choice) {
                printf(" -x -a '");
                print_choices(option);
                printf("'");
            } else if (option->value) {
                printf(" -r");
            }
            printf(" -d '");
            print_quoted(option->help, "\\", "\\'");
            printf("'\n");
        }
    }
}

static void fish_end(void) {
}

/* ---- The command ---- */

static const struct {
    const char *name;
    void (*begin)(void);
    void (*each)(const command *which, const placed_option *options, size_t count);
    void (*end)(void);
} shells[] = {{"bash", bash_begin, bash_command, bash_end},
              {"zsh", zsh_begin, zsh_command, zsh_end},
              {"fish", fish_begin, fish_command, fish_end}};

static int run(const arguments *given) {
    placed_option options[MOST_OPTIONS];
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++) {
        if (strcmp(shells[i].name, given->model) != 0) continue;
        shells[i].begin();
        for (size_t j = 0; commands[j]; j++) shells[i].each(commands[j], options, options_of(commands[j], options));
        shells[i].end();
        return finish_output(EXIT_OK);
    }
    return report_usage("completion %s: use bash, zsh or fish", given->model);
}

const command command_completion = {
    "completion",
    "bash|zsh|fish",
    "Prints a script that lets a shell complete commands, options and their values.",
    "help",
    "  source <(rubato completion bash)                                        # for this shell\n"
    "  rubato completion bash > ~/.local/share/bash-completion/completions/rubato\n"
    "  rubato completion fish > ~/.config/fish/completions/rubato.fish\n",
    run};
