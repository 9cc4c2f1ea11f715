/* rubato search: the frontier of quality against cost. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
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

/* The points that the search wrote: its folder may hold the frontier alone, without a model. */
static void print_points(const arguments *given, const char *out, const char *metric) {
    char path[4096];
    json_t *notes = NULL;
    const json_t *list = NULL, *point;
    size_t i;
    snprintf(path, sizeof path, "%s/rubato.json", out);
    if (json_read_file(&notes, path, (size_t)1 << 26, NULL) != RUBATO_OK ||
        json_get_list(&list, notes, "points", NULL) != RUBATO_OK)
        fprintf(stderr, "rubato: the points cannot be read back from %s\n", path);
    json_array_foreach(list, i, point) {
        const char *name = "";
        double quality = NAN, error = NAN, ratio = NAN, ms = NAN, spread = 0;
        json_get_text(&name, point, "name", "", NULL);
        json_get_real(&quality, point, "quality", NAN, NULL);
        json_get_real(&error, point, "quality_error", NAN, NULL);
        json_get_real(&ratio, point, "flops_ratio", NAN, NULL);
        json_get_real(&spread, point, "flops_error", 0, NULL);
        json_get_real(&ms, point, "ms", NAN, NULL);
        if (given->json) {
            printf("%s{\"name\": \"%s\", \"quality\": ", i ? ", " : "", name);
            print_float(quality);
            printf(", \"quality_error\": ");
            print_float(error);
            printf(", \"flops_ratio\": %.4f, \"ms\": ", ratio);
            print_float(ms);
            printf("}");
        } else {
            printf("  @%-10s %s %.4f", name, metric, quality);
            if (!isnan(error)) printf(" +- %.4f", error);
            printf(", %.2fx operations%s, %.2f ms a text\n", ratio,
                   json_object_get(point, "exit") || spread > 0 ? " on average" : "", ms);
        }
    }
    json_decref(notes);
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
    warn_of_model(given, options.model);
    rubato_search_result *result;
    rubato_error error = {0};
    rubato_status status = rubato_search(&options, &result, &error);
    if (seen.terminal && !seen.quiet) fputs("\r\033[K", stderr);
    if (status != RUBATO_OK) return report(&error);
    const char *out = options.out ? options.out : given->model;
    if (given->json) {
        printf("{\"out\": ");
        print_json_string(out, strlen(out));
        printf(", \"metric\": \"%s\", \"full\": %.6f, \"evaluations\": %zu, \"dropped\": %zu, \"area\": %.6f, "
               "\"seconds\": %.1f, \"held_out\": %zu, \"points\": [",
               result->metric, result->full_quality, result->evaluations, result->dropped, result->area,
               result->seconds, result->held_out);
        print_points(given, out, result->metric);
        printf("]}\n");
    } else {
        printf("%s: %zu %s from %zu evaluations (%zu dropped early) in %.0f s; full %s %.4f", out, result->points,
               result->points == 1 ? "point" : "points", result->evaluations, result->dropped, result->seconds,
               result->metric, result->full_quality);
        if (result->held_out)
            printf(" +- %.4f\nqualities are from %zu held-out examples, on which no point was chosen\n",
                   result->full_error, result->held_out);
        else
            puts("\ntoo few examples to hold some out: the points were chosen on those that give their qualities");
        print_points(given, out, result->metric);
        if (result->points == 0) puts("no point is kept: none is better than the most frequent label beyond noise");
        printf("written: %s/rubato.json, %s/frontier.svg\n", out, out);
    }
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
