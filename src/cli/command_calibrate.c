/* rubato calibrate: this machine's cost model. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/order.h"
#include "cli/command.h"

static int show(void *user, size_t done, size_t total) {
    progress_show(user, (double)done, (double)total);
    return 0;
}

/* Predictions beside measured times, over lengths, batches and points. */
static int check(const arguments *given, session *s) {
    static const size_t lengths[] = {8, 16, 32, 64, 128, 256, 512}, batches[] = {1, 4, 16, 64};
    enum { LENGTHS = 7, BATCHES = 4, POINTS = 4 };
    double off[LENGTHS * BATCHES * POINTS];
    size_t count = 0, points = rubato_point_count(s->model);
    if (given->json)
        printf("{\"rows\": [");
    else
        printf("%-12s %7s %7s %12s %12s %8s\n", "point", "length", "batch", "predicted ms", "measured ms", "off");
    for (size_t p = 0; p < (points >= 3 ? POINTS : 1); p++) {
        const char *name = p ? rubato_model_point(s->model, (p - 1) * (points - 1) / 2)->name : NULL;
        for (size_t i = 0; i < LENGTHS && lengths[i] <= s->info->max_length; i++)
            for (size_t j = 0; j < BATCHES; j++) {
                rubato_bench_row *row;
                rubato_error error;
                char budget[40];
                snprintf(budget, sizeof budget, "@%.32s", name ? name : "full");
                if (rubato_bench_at(s->context, budget, batches[j], lengths[i], &row, &error) != RUBATO_OK)
                    return report(&error);
                double predicted = rubato_predict_ms(s->context, name, lengths[i], batches[j]);
                off[count] = fabs(predicted / row->ms - 1);
                if (given->json)
                    printf(
                        "%s{\"point\": \"%s\", \"length\": %zu, \"batch\": %zu, \"predicted_ms\": %.4f, \"ms\": %.4f}",
                        count ? ", " : "", name ? name : "full", lengths[i], batches[j], predicted, row->ms);
                else
                    printf("%-12s %7zu %7zu %12.3f %12.3f %7.1f%%\n", name ? name : "full", lengths[i], batches[j],
                           predicted, row->ms, 100 * (predicted / row->ms - 1));
                fflush(stdout);
                count++;
                rubato_free(row);
            }
    }
    sort_doubles(off, count);
    if (given->json)
        printf("], \"median_off\": %.4f}\n", off[count / 2]);
    else
        printf("off by %.1f %% in the median of %zu, %.1f %% at the 90th percentile\n", 100 * off[count / 2], count,
               100 * off[count * 9 / 10]);
    return EXIT_OK;
}

/* The times of one text at full. */
static void print_times(const arguments *given, const session *s) {
    static const size_t lengths[] = {16, 128, 512};
    size_t threads = rubato_context_threads(s->context);
    if (given->json) {
        printf("{\"model\": ");
        print_json_string(given->model, strlen(given->model));
        printf(", \"precision\": \"%s\", \"threads\": %zu, ", s->info->precision, threads);
        print_kernels(s, true);
        printf(", \"full\": [");
    } else {
        printf("%s in %s, %zu threads, kernels: ", given->model, s->info->precision, threads);
        print_kernels(s, false);
        printf("; one text at full takes");
    }
    for (size_t i = 0; i < 3 && lengths[i] <= s->info->max_length; i++)
        printf(given->json ? "%s{\"ms\": %.4f, \"tokens\": %zu}" : "%s %.2f ms for %zu tokens",
               !i            ? ""
               : given->json ? ", "
                             : ",",
               rubato_predict_ms(s->context, NULL, lengths[i], 1), lengths[i]);
    puts(given->json ? "]}" : "");
}

static int run(const arguments *given) {
    session s;
    rubato_error error = {0};
    int status = session_open(&s, given);
    if (status != EXIT_OK) return status;
    progress bar;
    progress_begin(&bar, "measuring", "", given->quiet);
    rubato_calibrate_options options = {.size = sizeof options, .progress = show, .progress_user = &bar};
    rubato_calibration *made;
    rubato_status done = rubato_calibrate(s.context, &options, &made, &error);
    if (done == RUBATO_OK) done = rubato_context_set_calibration(s.context, made, &error);
    rubato_calibration_destroy(made);
    progress_end(&bar);
    if (done != RUBATO_OK) {
        status = report(&error);
    } else if (given->check) {
        status = check(given, &s);
    } else {
        print_times(given, &s);
    }
    session_close(&s);
    return finish_output(status);
}

const command command_calibrate = {
    "calibrate",
    "MODEL",
    "Measures this machine's cost model for budgets in milliseconds, and stores it in the user's cache.",
    "check load.* context.* json quiet help",
    "  rubato calibrate sst2-la\n"
    "  rubato classify sst2-la --budget 2ms reviews.txt\n"
    "  rubato calibrate sst2-la --check\n",
    run};
