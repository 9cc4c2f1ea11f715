/* rubato convert: another attention, longer texts, memories. */
#include <string.h>

#include "cli/command.h"

/* Adds the settings that have options of their own to "NAME,KEY=VALUE". False where there is no room, or a value has a
 * comma and would be read as two settings. */
static bool add_settings(const arguments *given, const char *slots, char *out, size_t bytes, size_t *count) {
#define ENTRY(name) {#name, given->setting.name},
    const char *const settings[][2] = {ATTENTION_SETTINGS(ENTRY)};
#undef ENTRY
    const char *name = given->convert.attention ? given->convert.attention : "";
    size_t at = (size_t)snprintf(out, bytes, "%s", name);
    *count = 0;
    for (size_t i = 0; i < sizeof settings / sizeof *settings && at < bytes; i++) {
        if (!settings[i][1] || (settings[i][1] == given->setting.slots && !slots)) continue;
        if (strchr(settings[i][1], ',')) return false;
        at += (size_t)snprintf(out + at, bytes - at, ",%s=%s", settings[i][0], settings[i][1]);
        (*count)++;
    }
    return at < bytes;
}

static int run(const arguments *given) {
    rubato_convert_options options = given->convert;
    char attention[400], memory[400];
    size_t settings;
    const char *slots = given->setting.slots;
    if (slots && options.attention && options.memory)
        return report_usage("%s", "--slots: linformer and memories both have slots; name them as --memory res,slots=N");
    if (slots && options.memory && strchr(slots, ',')) return report_usage("--slots %s: a number is wanted", slots);
    if (slots && options.memory) {
        if (snprintf(memory, sizeof memory, "%s,slots=%s", options.memory, slots) >= (int)sizeof memory)
            return report_usage("%s", "the settings of --memory are too long");
        options.memory = memory;
        slots = NULL;
    }
    if (!add_settings(given, slots, attention, sizeof attention, &settings))
        return report_usage("%s", "the settings of --attention are too long, or one has a comma");
    if (!options.memory && (options.zero_values || (options.layers && !options.attention)))
        return report_usage("%s", options.zero_values
                                      ? "--zero-values needs --memory; see rubato convert --help"
                                      : "--layers needs --attention or --memory; see rubato convert --help");
    if (settings && !options.attention)
        return report_usage("%s", "settings need --attention; see rubato convert --help");
    if (options.attention) options.attention = attention;
    if (!options.out || !(options.attention || options.positions || options.memory))
        return report_usage(
            "%s", "convert needs --out, and --attention, --memory or --max-length; see rubato convert --help");
    options.model = given->model;
    rubato_convert_result *result;
    rubato_error error;
    warn_of_model(given, options.model);
    if (rubato_convert(&options, &result, &error) != RUBATO_OK) return report(&error);
    if (given->json) {
        printf("{\"attention\": ");
        print_json_string(result->attention, strlen(result->attention));
        if (result->feed_forward) printf(", \"feed_forward\": \"%s\"", result->feed_forward);
        printf(", \"max_length\": %zu, \"parameters\": %zu, \"added\": %zu}\n", result->positions, result->parameters,
               result->added);
    } else {
        printf("%s: %s, at most %zu tokens, %.1f M parameters\n", options.out, result->attention, result->positions,
               (double)result->parameters / 1e6);
        if (result->feed_forward) printf("  %s\n", result->feed_forward);
    }
    rubato_free(result);
    return finish_output(EXIT_OK);
}

const command command_convert = {
    "convert",
    "MODEL --out DIR [--attention SETTING] [--memory FORM [--slots N]] [--layers LIST] [--max-length N]",
    "Makes a model with another attention, for longer texts, or with memories; training can start from it.",
    "convert.* setting.* json quiet help",
    "  rubato convert MODEL --attention longformer --window 256 --max-length 4096 --out long\n"
    "  rubato convert MODEL --attention performer,features=256 --out fast\n"
    "  rubato convert MODEL --attention linear --layers 0,1 --out mixed   # the other layers stay dense\n"
    "  rubato convert MODEL --max-length 2048 --out longer     # dense\n"
    "  rubato convert MODEL --memory res --layers 1,2 --slots 65536 --out rich\n"
    "  rubato convert rich --memory none --out plain           # the model without its memories\n"
    "The result needs training: rubato train long --task mlm --data TEXT --out adapted, then the task.\n",
    run};
