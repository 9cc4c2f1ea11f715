/* Reading the command line: --name value, --name=value, flags, then the operands; and the options that environment
 * variables give. */
#include "cli/arguments.h"

#include <stdlib.h>
#include <string.h>

#include "cli/nearest_name.h"
#include "cli/options.h"

typedef struct parser {
    const command *which;
    arguments *given;
    placed_option options[MOST_OPTIONS];
    bool seen[MOST_OPTIONS];
    size_t count;
} parser;

/* `name`: the name of the option or variable as the user wrote it. */
static int set_option(parser *self, size_t index, const char *name, const char *value) {
    rubato_error error;
    const placed_option *at = &self->options[index];
    self->seen[index] = true;
    if (rubato_option_set(at->option, (char *)self->given + at->offset, value, &error) == RUBATO_OK) return EXIT_OK;
    fprintf(stderr, "rubato: %s: %s\n", name, error.message);
    return EXIT_USAGE;
}

static int read_environment(parser *self) {
    int status = EXIT_OK;
    for (size_t i = 0; i < self->count && status == EXIT_OK; i++) {
        const char *variable = self->seen[i] ? NULL : option_variable(self->options[i].option);
        const char *value = variable ? getenv(variable) : NULL;
        if (value && *value) status = set_option(self, i, variable, value);
    }
    return status;
}

static int read_operand(parser *self, const char *word) {
    arguments *given = self->given;
    bool several = strstr(self->which->operands, "...");
    if (!given->model) given->model = word;
    if (several && given->model_count < sizeof given->models / sizeof *given->models)
        given->models[given->model_count++] = word;
    else if (given->model == word)
        return EXIT_OK;
    else if (!given->file)
        given->file = word;
    else {
        fprintf(stderr, "rubato: \"%s\" is one operand too many; see rubato %s --help\n", word, self->which->name);
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

static int report_unknown(const parser *self, const char *word) {
    char given[MOST_NAME], known[MOST_NAME];
    nearest_name meant = {.word = given};
    snprintf(given, sizeof given, "%.*s", (int)strcspn(word, "="), word);
    for (size_t i = 0; i < self->count; i++) {
        option_spell(self->options[i].option, known, sizeof known);
        nearest_name_try(&meant, known);
    }
    fprintf(stderr, "rubato: unknown option %s; ", word);
    if (*meant.name) fprintf(stderr, "did you mean %s? ", meant.name);
    fprintf(stderr, "see rubato %s --help\n", self->which->name);
    return EXIT_USAGE;
}

/* `next`: the following word, NULL at the end. *used: whether it was the value of this option. */
static int read_option(parser *self, const char *word, const char *next, bool *used) {
    char spelled[64];
    const char *name = word + 2, *equals = strchr(word, '=');
    size_t bytes = equals ? (size_t)(equals - name) : strlen(name), found = 0;
    bool off = false;
    while (found < self->count && !option_is(self->options[found].option, name, bytes, &off)) found++;
    if (word[1] != '-' || (found == self->count && !options_know(name, bytes))) return report_unknown(self, word);
    if (found == self->count) {
        fprintf(stderr, "rubato: %s does not take --%.*s; see rubato %s --help\n", self->which->name, (int)bytes, name,
                self->which->name);
        return EXIT_USAGE;
    }
    const rubato_option *option = self->options[found].option;
    const char *value = equals ? equals + 1 : NULL;
    option_spell(option, spelled, sizeof spelled);
    if (!option->value) { /* a flag or switch */
        if (value) return report_usage("%s: takes no value", word);
        return set_option(self, found, spelled, off ? "false" : "true");
    }
    *used = !value;
    if (!value) value = next;
    if (!value) return report_usage("%s: needs a value", word);
    return set_option(self, found, spelled, value);
}

int arguments_parse(arguments *given, const command *which, int argc, char **argv) {
    parser self = {.which = which, .given = given};
    bool only_operands = false;
    *given = (arguments){.load.size = sizeof given->load,
                         .context.size = sizeof given->context,
                         .text.size = sizeof given->text,
                         .run.size = sizeof given->run,
                         .eval.size = sizeof given->eval,
                         .train.size = sizeof given->train,
                         .trim.size = sizeof given->trim,
                         .convert.size = sizeof given->convert,
                         .quantize.size = sizeof given->quantize,
                         .vocabulary.size = sizeof given->vocabulary,
                         .adapt.size = sizeof given->adapt,
                         .augment.size = sizeof given->augment,
                         .memory.size = sizeof given->memory,
                         .generate.size = sizeof given->generate,
                         .search.size = sizeof given->search,
                         .pull.size = sizeof given->pull};
    self.count = options_of(which, self.options);
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        int status = EXIT_OK;
        bool used = false;
        if (only_operands || word[0] != '-' || !word[1])
            status = read_operand(&self, word);
        else if (strcmp(word, "--") == 0)
            only_operands = true;
        else
            status =
                read_option(&self, strcmp(word, "-h") == 0 ? "--help" : word, i + 1 < argc ? argv[i + 1] : NULL, &used);
        if (status != EXIT_OK) return status;
        i += used;
    }
    if (given->help) return EXIT_OK;
    if (!given->model && *which->operands) {
        fprintf(stderr, "rubato: %s needs %.*s; see rubato %s --help\n", which->name,
                (int)strcspn(which->operands, " "), which->operands, which->name);
        return EXIT_USAGE;
    }
    return read_environment(&self);
}
