/* rubato search: the frontier of quality against cost. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/interrupt.h"

typedef struct watching {
    bool terminal, quiet;
    double drawn, begun; /* begun: when the first round began */
} watching;

/* The bar counts rounds; the time that is left is known once the first round has begun. */
static void print_round(watching *w, const rubato_search_progress *p) {
    enum { WIDTH = 20 };
    char bar[WIDTH + 1] = "", left[48] = "";
    size_t full = p->iterations ? p->iteration * WIDTH / p->iterations : 0;
    for (size_t i = 0; i < WIDTH; i++) bar[i] = i < full ? '#' : '.';
    if (p->iteration == 0) w->begun = p->seconds;
    if (p->iteration > 1)
        snprintf(left, sizeof left, ", %.0f s left",
                 (p->seconds - w->begun) / (double)(p->iteration - 1) * (double)(p->iterations + 1 - p->iteration));
    fprintf(stderr, "round %zu of %zu [%s] %zu evaluated (%zu dropped early), %zu points, %.0f s%s", p->iteration,
            p->iterations, bar, p->evaluations, p->dropped, p->frontier, p->seconds, left);
}

static int watch(void *user, const rubato_search_progress *p) {
    watching *w = user;
    if (!w->quiet && p->seconds - w->drawn > (w->terminal ? 0.2 : 30)) {
        fputs(w->terminal ? "\r\033[K" : "", stderr);
        if (p->timed)
            fprintf(stderr, "%zu of %zu points measured, %.0f s", p->timed, p->frontier, p->seconds);
        else
            print_round(w, p);
        fputs(w->terminal ? "" : "\n", stderr);
        w->drawn = p->seconds;
    }
    return interrupted();
}

static void print_points(const arguments *given, const rubato_model *model, const char *metric) {
    for (size_t i = 0; model && i < rubato_point_count(model); i++) {
        const rubato_point *p = rubato_model_point(model, i);
        if (given->json) {
            printf("%s{\"name\": \"%s\", \"quality\": ", i ? ", " : "", p->name);
            print_float(p->quality);
            printf(", \"quality_error\": ");
            print_float(p->quality_error);
            printf(", \"flops_ratio\": %.4f, \"ms\": ", p->flops_ratio);
            print_float(p->ms);
            printf("}");
        } else {
            printf("  @%-10s %s %.4f", p->name, metric, p->quality);
            if (!isnan(p->quality_error)) printf(" +- %.4f", p->quality_error);
            printf(", %.2fx operations%s, %.2f ms a text\n", p->flops_ratio,
                   p->exits || p->flops_error > 0 ? " on average" : "", p->ms);
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
    interrupt_watch(false);
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
               "\"seconds\": %.1f, \"held_out\": %zu, \"points\": [",
               result->metric, result->full_quality, result->evaluations, result->dropped, result->area,
               result->seconds, result->held_out);
        print_points(given, model, result->metric);
        printf("]}\n");
    } else {
        printf("%s: %zu points from %zu evaluations (%zu dropped early) in %.0f s; full %s %.4f", out, result->points,
               result->evaluations, result->dropped, result->seconds, result->metric, result->full_quality);
        if (result->held_out)
            printf(" +- %.4f\nqualities are from %zu held-out examples, on which no point was chosen\n",
                   result->full_error, result->held_out);
        else
            puts("\ntoo few examples to hold some out: the points were chosen on those that give their qualities");
        print_points(given, model, result->metric);
        if (result->points == 0) puts("no point is kept: none is better than the most frequent label beyond noise");
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
    "  rubato search sst2-la --task classification --data unused.tsv --holdout dev.tsv --unlabelled reviews.txt\n"
    "  rubato calibrate sst2-la --precision f32+int8                      # first, for --cost ms\n"
    "  rubato search sst2-la --task classification --data dev.tsv --cost ms --precision f32+int8 --iterations 30\n"
    "A model that has points keeps them unless --overwrite or --resume is given. Ctrl-C ends the search with the\n"
    "points found so far; --resume does not repeat evaluations.\n",
    run};
