/* rubato quantize: a model in low precision, or back in f32. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "cli/command.h"

static void show(void *user, size_t done, size_t all) {
    progress_show(user, (double)done, (double)all);
}

static int run(const arguments *given) {
    progress bar;
    rubato_quantize_options options = given->quantize;
    if (!options.out || !options.to)
        return report_usage("%s", "quantize needs --to and --out; see rubato quantize --help");
    options.model = given->model;
    options.progress = show;
    options.progress_user = &bar;
    rubato_quantize_result *result;
    rubato_error error;
    warn_of_model(given, options.model);
    progress_begin(&bar, "judging", "", given->quiet || !options.data);
    rubato_status status = rubato_quantize(&options, &result, &error);
    progress_end(&bar);
    if (status != RUBATO_OK) return report(&error);
    bool missed = options.max_drop > 0 && 100 * (result->before - result->after) > options.max_drop;
    if (given->json) {
        printf("{\"out\": ");
        print_json_string(options.out, strlen(options.out));
        printf(", \"bytes_before\": %zu, \"bytes\": %zu, \"layers\": %zu, \"lifted\": %zu", result->bytes_before,
               result->bytes_after, result->layers, result->lifted);
        if (!isnan(result->before))
            printf(", \"metric\": \"%s\", \"before\": %.6f, \"after\": %.6f", result->metric, result->before,
                   result->after);
        printf("}\n");
    } else {
        printf("%s: %.1f MB of weights, %.1f before", options.out, (double)result->bytes_after / 1e6,
               (double)result->bytes_before / 1e6);
        if (result->lifted) printf("; %zu of %zu layers in bf16", result->lifted, result->layers);
        if (!isnan(result->before))
            printf("; %s %.2f, %.2f before", result->metric, 100 * result->after, 100 * result->before);
        printf("\n");
    }
    if (missed) fprintf(stderr, "rubato: warning: that is more than --max-drop %g\n", options.max_drop);
    rubato_free(result);
    return finish_output(EXIT_OK);
}

const command command_quantize = {
    "quantize",
    "MODEL --to int8|bf16|f32 --out DIR",
    "Writes a model in int8 or bf16: a file of a quarter or half of the size, which is mapped and multiplied as it is. "
    "--to f32 converts it back.",
    "quantize.* json quiet help",
    "  rubato quantize sst2 --to int8 --out sst2-int8\n"
    "  rubato quantize sst2 --to int8 --task classification --data dev.tsv --max-drop 0.3 --out sst2-int8\n"
    "  rubato quantize sst2 --to int8 --task classification --data dev.tsv --smooth 0.5 --out sst2-int8\n"
    "  rubato quantize sst2-int8 --to f32 --out for-transformers\n"
    "With --task and --data it measures the loss of quality, also for every operating point. With --max-drop, layers\n"
    "stay in bf16 until the loss is at most that many points; layers that gain most come first.\n",
    run};
