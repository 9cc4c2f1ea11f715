/* rubato trim: a smaller checkpoint. */
#include "cli/command.h"

static int run(const arguments *given) {
    rubato_trim_options options = given->trim;
    if (!options.out) return report_usage("%s", "trim needs --out; see rubato trim --help");
    options.model = given->model;
    rubato_trim_result *result;
    rubato_error error;
    warn_of_model(given, options.model);
    if (rubato_trim(&options, &result, &error) != RUBATO_OK) return report(&error);
    if (options.vocabulary && result->vocabulary > options.vocabulary && !given->quiet)
        fprintf(stderr,
                "rubato: warning: --vocabulary %zu: %zu word pieces stay, because special tokens and single characters "
                "always do, so that every text can be tokenised\n",
                options.vocabulary, result->vocabulary);
    if (given->json)
        printf("{\"layers\": %zu, \"vocabulary\": %zu, \"parameters\": %zu, \"covered\": %.6f, \"heads_removed\": %zu, "
               "\"neurons_removed\": %zu}\n",
               result->layers, result->vocabulary, result->parameters, result->covered, result->heads, result->neurons);
    else {
        printf("%s: %zu layers, %zu word pieces", options.out, result->layers, result->vocabulary);
        if (options.vocabulary && options.data)
            printf(" (%.1f %% of the data's tokens as before)", 100 * result->covered);
        if (options.empty) printf("; %zu heads and %zu neurons were empty", result->heads, result->neurons);
        printf(", %.1f M parameters\n", (double)result->parameters / 1e6);
    }
    rubato_free(result);
    return finish_output(EXIT_OK);
}

const command command_trim = {
    "trim",
    "MODEL --out DIR [--layers LIST | --drop HOW] [--vocabulary N --data FILE]",
    "Makes a smaller checkpoint to start training from: fewer layers, heads, neurons, word pieces, positions; "
    "narrower word embeddings.",
    "trim.* json quiet help",
    "  rubato trim MODEL --layers 0,2,5 --out small\n"
    "  rubato trim MODEL --layers 0,0,1,1,2,2,3,3,4,4,5,5 --out deep     # stacked: twice as deep\n"
    "  rubato trim MODEL --drop top:2 --out shallow\n"
    "  rubato trim MODEL --empty --out narrow     # after a recipe of pruning\n"
    "  rubato trim MODEL --layers 0,1,3,5 --vocabulary 8000 --data train.tsv --positions 128 --out small\n",
    run};
