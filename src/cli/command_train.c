/* rubato train: fine-tuning, and the recipes that train operating points. */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/interrupt.h"

/* "12:34" or "1:02:03". */
static void format_time(char *out, size_t bytes, double seconds) {
    long all = (long)(seconds + 0.5);
    if (all >= 3600)
        snprintf(out, bytes, "%ld:%02ld:%02ld", all / 3600, all / 60 % 60, all % 60);
    else
        snprintf(out, bytes, "%ld:%02ld", all / 60, all % 60);
}

typedef struct watching {
    bool terminal, quiet;
    double drawn, metric_seen;
} watching;

/* ", dev accuracy 0.6450 in full, 0.5750 at a smaller point (mean 0.6100, best 0.6100)" */
static void print_metric(const rubato_train_progress *p, char *out, size_t bytes) {
    char range[96];
    if (p->points < 2) {
        snprintf(out, bytes, ", dev %s %.4f (best %.4f)", p->metric, p->value, p->best);
        return;
    }
    if (p->points == 2)
        snprintf(range, sizeof range, "%.4f at a smaller point", p->least);
    else
        snprintf(range, sizeof range, "%.4f to %.4f at %zu smaller points", p->least, p->most, p->points - 1);
    snprintf(out, bytes, ", dev %s %.4f in full, %s (mean %.4f, best %.4f)", p->metric, p->full, range, p->value,
             p->best);
}

static int watch(void *user, const rubato_train_progress *p) {
    watching *w = user;
    char left[32], metric[240] = "", how[96] = ""; /* a preparing phase has no loss */
    enum { WIDTH = 20 };
    bool last = p->step == p->steps, judged = p->metric && p->value != w->metric_seen;
    if (p->metric) {
        print_metric(p, metric, sizeof metric);
        w->metric_seen = p->value;
    }
    if (!isnan(p->loss)) snprintf(how, sizeof how, ", loss %.4f, %.0f tokens/s", p->loss, p->tokens_per_second);
    format_time(left, sizeof left, p->seconds_left);
    if (!w->quiet && w->terminal && (last || judged || p->seconds - w->drawn > 0.2)) {
        char bar[WIDTH + 1];
        size_t full = p->step * WIDTH / p->steps;
        for (size_t i = 0; i < WIDTH; i++) bar[i] = i < full ? '#' : '.';
        bar[WIDTH] = 0;
        fprintf(stderr, "\r\033[K%s [%s] %zu/%zu%s, %s left%s%s", p->phase, bar, p->step, p->steps, how, left, metric,
                last ? "\n" : "");
        w->drawn = p->seconds;
    } else if (!w->quiet && !w->terminal && (last || judged || p->seconds - w->drawn > 30)) {
        fprintf(stderr, "%s: step %zu of %zu, epoch %.2f%s, %s left%s\n", p->phase, p->step, p->steps, p->epoch, how,
                left, metric);
        w->drawn = p->seconds;
    }
    return interrupted();
}

/* ", 2 labels: negative 29,780, positive 37,569" */
static void print_counts(const rubato_data_summary *told) {
    enum { SHOWN = 8 };
    size_t missing = 0;
    for (size_t i = 0; i < told->label_count; i++) {
        missing += told->counts[i] == 0;
        if (i == SHOWN) fprintf(stderr, " and %zu more", told->label_count - SHOWN);
        if (i >= SHOWN) continue;
        if (i == 0) fprintf(stderr, "; %zu label%s: ", told->label_count, told->label_count == 1 ? "" : "s");
        fprintf(stderr, "%s%s %zu", i ? ", " : "", told->labels[i], told->counts[i]);
    }
    if (missing) fprintf(stderr, " (%zu without an example)", missing);
}

static void print_summary(void *user, const rubato_data_summary *told) {
    const watching *w = user;
    if (w->quiet) return;
    fprintf(stderr, "%s: %s: ", told->use, told->path);
    if (told->documents)
        fprintf(stderr, "%zu document%s of %zu sentences and %zu tokens", told->documents,
                told->documents == 1 ? "" : "s", told->sentences, told->tokens);
    else if (told->limit)
        fprintf(stderr, "%zu of %zu rows, drawn by --limit and --seed", told->limit, told->rows);
    else
        fprintf(stderr, "%zu row%s", told->rows, told->rows == 1 ? "" : "s");
    if (told->documents)
        fprintf(stderr, "; %zu sequences in an epoch", told->samples);
    else if (told->samples != (told->limit ? told->limit : told->rows))
        fprintf(stderr, " in %zu windows", told->samples);
    print_counts(told);
    if (told->label_column)
        fprintf(stderr, "; the label is column \"%s\", not \"%s\"", told->label_column, told->label_other);
    fprintf(stderr, "; %zu to %zu tokens, median %zu", told->shortest, told->longest, told->median);
    if (told->empty) fprintf(stderr, "; %zu empty text%s", told->empty, told->empty == 1 ? "" : "s");
    if (told->cut) fprintf(stderr, "; %zu row%s longer and cut", told->cut, told->cut == 1 ? " is" : "s are");
    fputc('\n', stderr);
}

static int run(const arguments *given) {
    rubato_train_options options = given->train;
    if (!options.task || !options.data || !options.out)
        return report_usage("%s", "train needs --task, --data and --out; see rubato train --help");
    watching seen = {.terminal = isatty(STDERR_FILENO), .quiet = given->quiet, .metric_seen = -1e300};
    options.model = given->model;
    options.progress = watch;
    options.progress_user = &seen;
    options.data_read = print_summary;
    options.data_user = &seen;
    interrupt_watch(false);
    rubato_error error = {0};
    rubato_train_result *result;
    warn_of_model(given, options.model);
    warn_of_model(given, options.teacher);
    rubato_status status = rubato_train(&options, &result, &error);
    if (status != RUBATO_OK) {
        if (seen.terminal && !seen.quiet && seen.drawn > 0) fputc('\n', stderr);
        return report(&error);
    }
    char time[32];
    format_time(time, sizeof time, result->seconds);
    if (given->json) {
        printf("{\"out\": ");
        print_json_string(options.out, strlen(options.out));
        printf(
            ", \"steps\": %zu, \"best_step\": %zu, \"seconds\": %.1f, \"tokens_per_second\": %.1f, \"joules\": %.6g, "
            "\"joules_measured\": %s",
            result->steps, result->best_step, result->seconds, result->tokens_per_second, result->joules,
            result->joules_measured ? "true" : "false");
        printf(", \"loss\": ");
        print_float(result->loss);
        if (result->kept > 0) printf(", \"kept\": %.6f", result->kept);
        if (result->metric) printf(", \"metric\": \"%s\", \"best\": %.6f", result->metric, result->best);
        printf("}\n");
    } else {
        printf("%s: %zu steps in %s, %.0f tokens/s, %.3g kJ%s", options.out, result->steps, time,
               result->tokens_per_second, result->joules / 1e3, result->joules_measured ? "" : " estimated");
        if (!isnan(result->loss)) printf(", loss %.4f at the end", result->loss);
        if (result->kept > 0) printf(", %.1f %% of the weights stay", 100 * result->kept);
        if (result->metric) printf(", dev %s %.4f at step %zu", result->metric, result->best, result->best_step);
        if (result->points > 1) printf(" (mean of %zu operating points)", result->points);
        printf("\n");
    }
    rubato_free(result);
    return finish_output(EXIT_OK);
}

const command command_train = {
    "train",
    "MODEL --task TASK --data FILE [--dev FILE] --out DIR",
    "Fine-tunes a model, or trains it for operating points (shorter lengths, reduced widths, early exits); writes a "
    "folder that transformers loads "
    "too.",
    "train.* json quiet help",
    "  rubato train MODEL --task classification --data train.tsv --dev dev.tsv --out sst2\n"
    "  rubato train sst2 --task classification --data train.tsv --dev dev.tsv --recipe length-adaptive --out sst2-la\n"
    "  rubato train MODEL --task tagging --data train.conll --dev dev.conll --epochs 5 --rate 5e-5 --out ner\n"
    "  rubato train sst2 --task classification --data train.tsv --dev dev.tsv --recipe deebert --frozen --out "
    "sst2-exits\n"
    "Ctrl-C saves a checkpoint; the same command with --resume continues from it. A folder that holds a model or "
    "another\n"
    "run is refused; --overwrite replaces it.\n",
    run};
