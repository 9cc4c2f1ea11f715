/* rubato adapt: from a big model to a small one, in one command. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/interrupt.h"

typedef struct watching {
    bool terminal, quiet, json; /* json: the plan is the result */
    double drawn;
    char stage[32];
} watching;

static void write_time(char *out, size_t bytes, double seconds) {
    if (seconds < 90)
        snprintf(out, bytes, "%.0f s", seconds);
    else if (seconds < 5400)
        snprintf(out, bytes, "%.0f min", seconds / 60);
    else
        snprintf(out, bytes, "%.1f h", seconds / 3600);
}

static void print_plan(const rubato_adapt_plan *plan) {
    printf("{\"texts\": %zu, \"tokens\": %zu, \"seconds\": %.1f, \"stages\": [", plan->texts, plan->tokens,
           plan->seconds);
    for (size_t i = 0; i < plan->count; i++) {
        const rubato_adapt_stage *s = &plan->stages[i];
        printf("%s{\"name\": \"%s\", \"what\": \"%s\", \"seconds\": %.1f, \"done\": %s}", i ? ", " : "", s->name,
               s->what, s->seconds, s->done ? "true" : "false");
    }
    printf("]}\n");
}

static void show_plan(void *user, const rubato_adapt_plan *plan) {
    const watching *w = user;
    char time[32];
    if (w->json) print_plan(plan);
    if (w->quiet || w->json) return;
    fprintf(stderr, "plan: %zu texts, about %zu tokens\n", plan->texts, plan->tokens);
    for (size_t i = 0; i < plan->count; i++) {
        const rubato_adapt_stage *s = &plan->stages[i];
        write_time(time, sizeof time, s->seconds);
        fprintf(stderr, "  %2zu. %-14s %8s  %s\n", i + 1, s->name, s->done ? "done" : time, s->what);
    }
    write_time(time, sizeof time, plan->seconds);
    fprintf(stderr, "about %s in all; Ctrl-C stops, and the same command with --resume goes on\n", time);
}

static int show(void *user, const rubato_adapt_progress *p) {
    enum { WIDTH = 20 };
    watching *w = user;
    char bar[WIDTH + 1], time[32];
    const size_t full = p->share >= 1 ? WIDTH : (size_t)(p->share * WIDTH);
    for (size_t i = 0; i < WIDTH; i++) bar[i] = i < full ? '#' : '.';
    bar[WIDTH] = 0;
    const bool begins = strcmp(w->stage, p->stage) != 0, ends = p->share >= 1 && !p->phase;
    if (w->quiet || (!begins && !ends && p->seconds - w->drawn < (w->terminal ? 0.2 : 30))) return interrupted();
    snprintf(w->stage, sizeof w->stage, "%s", p->stage);
    write_time(time, sizeof time, p->seconds);
    fprintf(stderr, "%s%zu of %zu: %s%s%s [%s] %.0f %%, %s since the beginning%s", w->terminal ? "\r\033[K" : "",
            p->number, p->count, p->stage, p->phase ? ", " : "", p->phase ? p->phase : "", bar, 100 * fmin(p->share, 1),
            time, ends || !w->terminal ? "\n" : "");
    w->drawn = p->seconds;
    return interrupted();
}

static void print_table(const rubato_adapt_result *r) {
    printf("%-24s %16s %9s %7s %8s %9s\n", "candidate", r->metric, "ms", "time", "MB", "J");
    for (size_t i = 0; i < r->count; i++) {
        const rubato_adapted *c = r->candidates[i];
        char quality[32];
        if (isfinite(c->quality_error))
            snprintf(quality, sizeof quality, "%.2f +- %.2f", 100 * c->quality, 100 * c->quality_error);
        else
            snprintf(quality, sizeof quality, "%.2f", 100 * c->quality);
        printf("%-24s %16s %9.3f %6.2fx %8.1f %9.3g%s\n", c->name, quality, c->ms, c->ratio, c->megabytes, c->joules,
               i == r->chosen ? "  <- chosen"
               : c->meets     ? "  meets"
                              : "");
    }
}

static void print_json(const arguments *given, const rubato_adapt_result *r) {
    const rubato_adapted *c = r->candidates[r->chosen];
    printf("{\"out\": ");
    print_json_string(given->adapt.out, strlen(given->adapt.out));
    printf(", \"chosen\": \"%s\", \"budget\": ", c->name);
    if (c->budget)
        printf("\"%s\"", c->budget);
    else
        printf("null");
    printf(", \"met\": %s, \"metric\": \"%s\", \"quality\": ", r->met ? "true" : "false", r->metric);
    print_float(c->quality);
    printf(", \"quality_error\": ");
    print_float(c->quality_error);
    printf(", \"ms\": %.4f, \"ratio\": %.4f, \"megabytes\": %.3f, \"joules\": %.6g, \"held_out\": %zu, \"seconds\": "
           "%.1f}\n",
           c->ms, c->ratio, c->megabytes, c->joules, r->held_out, r->seconds);
}

static int run(const arguments *given) {
    rubato_adapt_options options = given->adapt;
    if (!options.task || !options.data || !options.dev || !options.out || !options.target)
        return report_usage("%s", "adapt needs --task, --data, --dev, --target and --out; see rubato adapt --help");
    watching w = {.terminal = isatty(STDERR_FILENO), .quiet = given->quiet, .json = given->json && options.plan_only};
    options.model = given->model;
    options.planned = show_plan;
    options.progress = show;
    options.user = &w;
    interrupt_watch(false);
    rubato_error error = {0};
    rubato_adapt_result *result;
    warn_of_model(given, options.model);
    const rubato_status status = rubato_adapt(&options, &result, &error);
    if (status != RUBATO_OK) {
        if (w.terminal && !w.quiet && w.drawn > 0) fputc('\n', stderr);
        return report(&error);
    }
    if (!result) return finish_output(EXIT_OK); /* only the plan was asked for */
    const rubato_adapted *c = result->candidates[result->chosen];
    if (given->json) {
        print_json(given, result);
    } else {
        print_table(result);
        printf("%s: %s%s; qualities are of %zu examples on which nothing was chosen\n%s/report.html has the plots\n",
               options.out, c->name, result->met ? "" : ", though no candidate keeps both --target and --max-drop",
               result->held_out, options.out);
    }
    rubato_free(result);
    return finish_output(EXIT_OK);
}

const command command_adapt = {
    "adapt",
    "MODEL --task TASK --data FILE --dev FILE --target T --out DIR",
    "Makes a small model of a big one in one command: fine-tunes, distils, prunes, trains and searches operating "
    "points, "
    "quantises, measures every candidate on this machine, and keeps the best one within the target.",
    "adapt.* json quiet help",
    "  rubato adapt MODEL --task classification --data train.tsv --dev dev.tsv --target 0.3x --out small\n"
    "  rubato adapt MODEL --task tagging --data train.conll --dev dev.conll --target 2ms --max-drop 0.5 --out small\n"
    "  rubato adapt MODEL --task classification --data train.tsv --dev dev.tsv --target 10MB --out small --plan\n"
    "One half of the dev data chooses, and the other tells. DIR/report.html shows all candidates, DIR/report.json has "
    "the\n"
    "same numbers. Ctrl-C stops; the same command with --resume goes on.\n",
    run};
