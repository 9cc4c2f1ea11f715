/* rubato eval: a data set against its labels. */
#include <string.h>

#include "base/progress.h"
#include "cli/command.h"

static int show(void *user, size_t done, size_t total) {
    progress_show(user, (double)done, (double)total);
    return 0;
}

/* The number of layers that some example ran. */
static size_t layers_run(const rubato_evaluation *e) {
    size_t layers = 0;
    while (layers < e->layers && e->alive[layers] > 1e-9) layers++;
    return layers;
}

/* Whether examples ran different numbers of layers. */
static bool leaving(const rubato_evaluation *e) {
    size_t layers = layers_run(e);
    return layers > 0 && e->alive[layers - 1] < 1 - 1e-9;
}

static void print_json(const arguments *given, const rubato_evaluation *e) {
    printf("{\"task\": \"%s\", \"examples\": %zu, \"metrics\": {", given->eval.task, e->examples);
    for (size_t i = 0; i < e->metric_count; i++) {
        printf("%s\"%s\": ", i ? ", " : "", e->metrics[i].name);
        print_float(e->metrics[i].value);
    }
    printf("}, \"flops_ratio\": ");
    print_float(e->flops_ratio);
    printf(", \"flops_ratio_p95\": ");
    print_float(e->flops_ratio_p95);
    printf(", \"left_after\": [");
    for (size_t i = 0; i < layers_run(e); i++) {
        printf("%s", i ? ", " : "");
        print_float(e->alive[i] - e->alive[i + 1]);
    }
    printf("]");
    printf(", \"ms\": {\"mean\": %.4f, \"p50\": %.4f, \"p95\": %.4f, \"p99\": %.4f}, \"tokens_per_second\": %.1f, "
           "\"joules\": %.6g, \"joules_measured\": %s}\n",
           e->ms_mean, e->ms_p50, e->ms_p95, e->ms_p99, e->tokens_per_second, e->joules,
           e->joules_measured ? "true" : "false");
}

static int run(const arguments *given) {
    if (!given->eval.task || !given->eval.data)
        return report_usage("%s", "eval needs --task and --data; see rubato eval --help");
    const bool always = strcmp(given->eval.task, "qa") == 0 || strcmp(given->eval.task, "tagging") == 0;
    if (!always && check_windows(given) != EXIT_OK) return EXIT_USAGE;
    session s;
    rubato_error error = {0};
    rubato_evaluation *e;
    int status = session_open(&s, given);
    if (status != EXIT_OK) return status;
    progress bar;
    progress_begin(&bar, given->eval.task, "", given->quiet);
    s.options.progress = show;
    s.options.progress_user = &bar;
    rubato_eval_options options = given->eval;
    options.run = &s.options;
    rubato_status done = rubato_evaluate(s.context, &options, &e, &error);
    progress_end(&bar);
    if (done != RUBATO_OK) {
        status = report(&error);
    } else if (given->json) {
        print_json(given, e);
    } else {
        printf("%s on %s: %zu examples\n", given->eval.task, given->eval.data, e->examples);
        for (size_t i = 0; i < e->metric_count; i++) printf("  %-12s %.4f\n", e->metrics[i].name, e->metrics[i].value);
        if (s.options.budget || leaving(e))
            printf("  %.2fx of the operations (95 in 100: at most %.2fx)", e->flops_ratio, e->flops_ratio_p95);
        if (leaving(e)) {
            printf("; left after layer");
            for (size_t i = 0; i < layers_run(e); i++)
                if (e->alive[i] - e->alive[i + 1] > 1e-9)
                    printf(" %zu: %.0f %%,", i + 1, 100 * (e->alive[i] - e->alive[i + 1]));
            printf(" of %zu", s.info->layers);
        }
        if (s.options.budget || leaving(e)) putchar('\n');
        printf("  %.0f tokens/s; ms an example: mean %.3f, p50 %.3f, p95 %.3f, p99 %.3f\n", e->tokens_per_second,
               e->ms_mean, e->ms_p50, e->ms_p95, e->ms_p99);
        printf("  %.3g J an example (%s)\n", e->joules,
               e->joules_measured ? "measured: the whole processor" : "estimated: the processor does not tell");
    }
    rubato_free(e);
    session_close(&s);
    return finish_output(status);
}

const command command_eval = {
    "eval",
    "MODEL --task TASK --data FILE",
    "Runs a labelled data set and reports metrics, cost and speed.",
    "eval.* text.max_length text.windows text.stride text.truncation prompt run.prompt_text run.budget target_drop "
    "load.* context.* "
    "json quiet help",
    "  rubato eval MODEL --task classification --data dev.tsv --columns text=sentence,label=label\n"
    "  rubato eval MODEL --task sts --data sts-dev.csv --columns text=6,pair=7,label=5 --json\n"
    "  rubato eval MODEL --task retrieval --data cranfield/\n",
    run};
