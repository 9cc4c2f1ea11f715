/* rubato search: the frontier of quality against cost. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"

static volatile sig_atomic_t interrupted;

static void interrupt(int number) {
    (void)number;
    interrupted = 1;
}

typedef struct watching {
    bool terminal, quiet;
    double drawn;
} watching;

static int watch(void *user, const rubato_search_progress *p) {
    watching *w = user;
    if (!w->quiet && p->seconds - w->drawn > (w->terminal ? 0.2 : 30)) {
        fputs(w->terminal ? "\r\033[K" : "", stderr);
        if (p->timed)
            fprintf(stderr, "%zu of %zu points timed, %.0f s", p->timed, p->frontier, p->seconds);
        else
            fprintf(stderr, "round %zu of %zu, %zu evaluated (%zu dropped early), %zu points, area %.4f, %.0f s",
                    p->iteration, p->iterations, p->evaluations, p->dropped, p->frontier, p->area, p->seconds);
        fputs(w->terminal ? "" : "\n", stderr);
        w->drawn = p->seconds;
    }
    return interrupted;
}

static void print_points(const arguments *given, const rubato_model *model, const char *metric) {
    for (size_t i = 0; model && i < rubato_point_count(model); i++) {
        const rubato_point *p = rubato_model_point(model, i);
        if (given->json) {
            printf("%s{\"name\": \"%s\", \"quality\": ", i ? ", " : "", p->name);
            print_float(p->quality);
            printf(", \"flops_ratio\": %.4f, \"ms\": ", p->flops_ratio);
            print_float(p->ms);
            printf("}");
        } else {
            printf("  @%-10s %s %.4f, %.2fx operations, %.2f ms a text\n", p->name, metric, p->quality, p->flops_ratio,
                   p->ms);
        }
    }
}

static int run(const arguments *given) {
    rubato_search_options options = given->search;
    if (!options.task || !options.data)
        return report_usage("%s", "search needs --task and --data; see rubato search --help");
    watching seen = {.terminal = isatty(STDERR_FILENO), .quiet = given->quiet};
    options.model = given->model;
    options.progress = watch;
    options.progress_user = &seen;
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    rubato_search_result *result;
    rubato_error error = {0};
    rubato_status status = rubato_search(&options, &result, &error);
    if (seen.terminal && !seen.quiet) fputs("\r\033[K", stderr);
    if (status != RUBATO_OK) return report(&error);
    const char *out = options.out ? options.out : given->model;
    rubato_model *model = NULL;
    rubato_model_load(&model, out, NULL); /* another folder may hold the frontier alone: no list then */
    if (given->json) {
        printf("{\"out\": ");
        print_json_string(out, strlen(out));
        printf(", \"metric\": \"%s\", \"full\": %.6f, \"evaluations\": %zu, \"dropped\": %zu, \"area\": %.6f, "
               "\"seconds\": "
               "%.1f, \"points\": [",
               result->metric, result->full_quality, result->evaluations, result->dropped, result->area,
               result->seconds);
        print_points(given, model, result->metric);
        printf("]}\n");
    } else {
        printf("%s: %zu points from %zu evaluations (%zu dropped early) in %.0f s; full %s %.4f\n", out, result->points,
               result->evaluations, result->dropped, result->seconds, result->metric, result->full_quality);
        print_points(given, model, result->metric);
        printf("written: %s/rubato.json, %s/frontier.svg\n", out, out);
    }
    rubato_model_destroy(model);
    bool stopped = result->stopped;
    rubato_free(result);
    if (!stopped) return finish_output(EXIT_OK);
    fputs("rubato: stopped before its end; what was found is written, and --resume goes on\n", stderr);
    finish_output(EXIT_OK);
    return EXIT_FAILED;
}

const command command_search = {
    "search",
    "MODEL --task TASK --data FILE",
    "Searches a length-adaptive model's frontier; writes it into rubato.json, with a plot.",
    "search.* json quiet help",
    "  rubato search sst2-la --task classification --data dev.tsv\n"
    "  rubato search sst2-la --task classification --data dev.tsv --cost ms --iterations 30\n"
    "  rubato search sst2-la --task classification --data dev.tsv --cost ms --precision f32+int8\n"
    "Ctrl-C ends the search with the points found so far; --resume does not repeat evaluations.\n",
    run};
