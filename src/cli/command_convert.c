/* rubato convert: another attention, or longer texts. */
#include <string.h>

#include "cli/command.h"

static int run(const arguments *given) {
    rubato_convert_options options = given->convert;
    if (!options.out || !(options.attention || options.positions))
        return report_usage("%s", "convert needs --out, and --attention or --max-length; see rubato convert --help");
    options.model = given->model;
    rubato_convert_result *result;
    rubato_error error;
    warn_of_model(given, options.model);
    if (rubato_convert(&options, &result, &error) != RUBATO_OK) return report(&error);
    if (given->json) {
        printf("{\"attention\": ");
        print_json_string(result->attention, strlen(result->attention));
        printf(", \"max_length\": %zu, \"parameters\": %zu, \"added\": %zu}\n", result->positions, result->parameters,
               result->added);
    } else
        printf("%s: %s, at most %zu tokens, %.1f M parameters\n", options.out, result->attention, result->positions,
               (double)result->parameters / 1e6);
    rubato_free(result);
    return finish_output(EXIT_OK);
}

const command command_convert = {
    "convert",
    "MODEL --out DIR [--attention SETTING] [--max-length N]",
    "Makes a model with another attention, or for longer texts, of a dense one; training can start from it.",
    "convert.* json quiet help",
    "  rubato convert MODEL --attention longformer,window=256,globals=1 --max-length 4096 --out long\n"
    "  rubato convert MODEL --attention performer,features=256 --out fast\n"
    "  rubato convert MODEL --max-length 2048 --out longer     # dense\n"
    "The result needs training: rubato train long --task mlm --data TEXT --out adapted, then the task.\n",
    run};
