/* rubato train: fine-tuning and the recipes that make a model elastic. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"

static volatile sig_atomic_t interrupted;

static void interrupt(int number) {
    (void)number;
    interrupted = 1;
}

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

static int watch(void *user, const rubato_train_progress *p) {
    watching *w = user;
    char left[32], metric[96] = "", how[96] = ""; /* a preparing phase has no loss */
    enum { WIDTH = 20 };
    bool last = p->step == p->steps, judged = p->metric && p->value != w->metric_seen;
    if (p->metric) {
        snprintf(metric, sizeof metric, ", dev %s %.4f (best %.4f)", p->metric, p->value, p->best);
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
    return interrupted;
}

/* Optional numbers: 0 where nothing was given, negative for a given zero, as rubato_train_options has it. */
static int parse_real(const char *name, const char *text, double *out) {
    char *end;
    *out = 0;
    if (!text) return EXIT_OK;
    errno = 0;
    *out = strtod(text, &end);
    if (*end || end == text || errno || !(*out >= 0) || *out > 1e9) {
        fprintf(stderr, "rubato: --%s: \"%s\" is not a number from 0 on\n", name, text);
        return EXIT_USAGE;
    }
    if (*out == 0) *out = -1;
    return EXIT_OK;
}

static int run(const arguments *given) {
    if (!given->task || !given->data || !given->out)
        return report_usage("%s", "train needs --task, --data and --out; see --help");
    if (given->divergence && strcmp(given->divergence, "sub") != 0 && strcmp(given->divergence, "full") != 0)
        return report_usage("--divergence %s: use sub or full", given->divergence);
    watching seen = {.terminal = isatty(STDERR_FILENO), .quiet = given->quiet, .metric_seen = -1e300};
    const char *isa = given->isa ? given->isa : getenv("RUBATO_ISA");
    rubato_train_options options = {.model = given->model,
                                    .task = given->task,
                                    .recipe = given->recipe,
                                    .data = given->data,
                                    .dev = given->dev,
                                    .columns = given->columns,
                                    .out = given->out,
                                    .labels = given->labels,
                                    .batch = given->batch_size,
                                    .max_length = given->max_length,
                                    .micro_tokens = given->micro_tokens,
                                    .sandwiches = given->sandwiches,
                                    .refine = given->refine,
                                    .teacher = given->teacher,
                                    .widths = given->widths,
                                    .frozen = given->frozen,
                                    .exit_mean = given->exit_mean,
                                    .exit_layers = given->exit_layers,
                                    .no_distillation = given->no_distillation,
                                    .divergence_from_full = given->divergence && strcmp(given->divergence, "full") == 0,
                                    .significance = given->significance,
                                    .limit = given->limit,
                                    .threads = given->threads,
                                    .precision = given->precision,
                                    .isa = isa && *isa ? isa : NULL,
                                    .seed = given->seed,
                                    .eval_steps = given->eval_steps,
                                    .checkpoint_steps = given->checkpoint_steps,
                                    .keep_order = given->keep_order,
                                    .resume = given->resume,
                                    .store = given->store,
                                    .progress = watch,
                                    .progress_user = &seen};
    double merges = 0;
    const struct {
        const char *name, *text;
        double *out;
    } reals[] = {{"epochs", given->epochs, &options.epochs},
                 {"rate", given->rate, &options.rate},
                 {"warm-up", given->warm_up, &options.warm_up},
                 {"decay", given->decay, &options.decay},
                 {"clip", given->clip, &options.clip},
                 {"dropout", given->dropout, &options.dropout},
                 {"length-drop", given->length_drop, &options.length_drop},
                 {"layer-drop", given->layer_drop, &options.layer_drop},
                 {"merges", given->merges, &merges},
                 {"match-states", given->match_states, &options.match_states},
                 {"refine-from", given->refine_from, &options.refine_from},
                 {"refine-to", given->refine_to, &options.refine_to},
                 {"ponder", given->ponder, &options.ponder},
                 {"soft-rate", given->soft_rate, &options.soft_rate},
                 {"soft-penalty", given->soft_penalty, &options.soft_penalty}};
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
        int status = parse_real(reals[i].name, reals[i].text, reals[i].out);
        if (status != EXIT_OK) return status;
    }
    if (merges > 1000 || merges != (int)merges)
        return report_usage("--merges %s: give a whole number of layers", given->merges);
    options.merges = (int)merges;
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    rubato_error error = {0};
    rubato_train_result result;
    rubato_status status = rubato_train(&options, &result, &error);
    if (status != RUBATO_OK) {
        if (seen.terminal && !seen.quiet && seen.drawn > 0) fputc('\n', stderr);
        return report(&error);
    }
    char time[32];
    format_time(time, sizeof time, result.seconds);
    if (given->json) {
        printf("{\"out\": ");
        print_json_string(given->out, strlen(given->out));
        printf(", \"steps\": %zu, \"best_step\": %zu, \"seconds\": %.1f, \"tokens_per_second\": %.1f", result.steps,
               result.best_step, result.seconds, result.tokens_per_second);
        if (result.metric[0]) printf(", \"metric\": \"%s\", \"best\": %.6f", result.metric, result.best);
        printf("}\n");
    } else {
        printf("%s: %zu steps in %s, %.0f tokens/s", given->out, result.steps, time, result.tokens_per_second);
        if (result.metric[0]) printf(", dev %s %.4f at step %zu", result.metric, result.best, result.best_step);
        printf("\n");
    }
    return finish_output(EXIT_OK);
}

const command command_train = {
    "train",
    "MODEL --task TASK --data FILE [--dev FILE] --out DIR",
    "Fine-tunes a model, makes it length-adaptive or gives it early exits; writes a folder that transformers loads "
    "too.",
    " task data dev columns out recipe labels epochs rate batch-size max-length warm-up decay clip dropout length-drop "
    "layer-drop merges match-states sandwiches refine refine-from refine-to teacher no-distillation divergence "
    "significance widths frozen "
    "exit-mean exit-layers "
    "ponder "
    "soft-rate "
    "soft-penalty micro-tokens "
    "limit "
    "threads "
    "isa precision "
    "seed eval-steps checkpoint-steps keep-order resume store json quiet help ",
    "  rubato train all-MiniLM-L6-v2 --task classification --data train.tsv --dev dev.tsv --out sst2\n"
    "  rubato train sst2 --task classification --data train.tsv --dev dev.tsv --recipe length-adaptive --out sst2-la\n"
    "  rubato train MODEL --task tagging --data train.conll --dev dev.conll --epochs 5 --rate 5e-5 --out ner\n"
    "  rubato train sst2 --task classification --data train.tsv --dev dev.tsv --recipe deebert --frozen --out "
    "sst2-exits\n"
    "Ctrl-C saves a checkpoint; the same command with --resume goes on from it.\n",
    run};
