/* rubato memory: how much of a model's memories texts use. */
#include <math.h>
#include <string.h>

#include "base/progress.h"
#include "cli/command.h"
#include "cli/memory_plot.h"

static int show(void *user, size_t done, size_t total) {
    progress_show(user, (double)done, (double)total);
    return 0;
}

static void print_use(const rubato_memory_use *use, bool json) {
    if (json) {
        printf("{\"layer\": %zu, \"slots\": %zu, \"used\": %.6f, \"used_first\": %.6f, \"kl\": ", use->layer,
               use->slots, use->used, use->used_first);
        print_float(use->kl);
        printf(", \"kl_first\": ");
        print_float(use->kl_first);
        printf(", \"gini\": ");
        print_float(use->gini);
        printf(", \"slots_50\": %zu, \"slots_90\": %zu, \"slots_99\": %zu}\n", use->slots_50, use->slots_90,
               use->slots_99);
        return;
    }
    printf("%5zu %9zu %8.1f%% %8.1f%% %8.3f %8.3f %7.3f %9zu %9zu %9zu\n", use->layer, use->slots, 100 * use->used,
           100 * use->used_first, use->kl, use->kl_first, use->gini, use->slots_50, use->slots_90, use->slots_99);
}

static int measure(const arguments *given) {
    session s;
    rubato_error error = {0};
    rubato_memory_report *report_of;
    int status = session_open(&s, given);
    if (status != EXIT_OK) return status;
    progress bar;
    progress_begin(&bar, "texts", "texts", given->quiet);
    rubato_memory_options options = given->memory;
    options.progress = show;
    options.progress_user = &bar;
    const rubato_status done = rubato_memory(s.context, &options, &report_of, &error);
    progress_end(&bar);
    if (done != RUBATO_OK) {
        status = report(&error);
    } else {
        if (!given->json) {
            printf("%zu tokens of %zu texts. Used: of all slots, those among the best of some token; first: its best "
                   "one. KL: nats, 0 for equal use.\n",
                   report_of->tokens, report_of->texts);
            printf("%5s %9s %9s %9s %8s %8s %7s %9s %9s %9s\n", "layer", "slots", "used", "first", "KL", "KL first",
                   "gini", "50 %", "90 %", "99 %");
        }
        for (size_t i = 0; i < report_of->count; i++) print_use(&report_of->uses[i], given->json);
        rubato_free(report_of);
    }
    session_close(&s);
    return status == EXIT_OK ? finish_output(EXIT_OK) : status;
}

static int run(const arguments *given) {
    rubato_error error = {0};
    if (!given->memory.data == !given->plot)
        return report_usage("%s", "memory needs --data for one model, or --plot for runs; see rubato memory --help");
    if (given->memory.data && given->model_count > 1)
        return report_usage("%s", "memory --data takes one model; see rubato memory --help");
    if (given->memory.data) return measure(given);
    if (memory_plot(given->plot, given->models, given->model_count, &error) != RUBATO_OK) return report(&error);
    if (!given->quiet) printf("%s\n", given->plot);
    return finish_output(EXIT_OK);
}

const command command_memory = {
    "memory",
    "MODEL [RUN...] --data FILE | --plot FILE",
    "Shows how much of a model's memories texts use, or draws it over the steps of training runs.",
    "memory.* plot load.* context.* json quiet help",
    "  rubato memory rich --data wiki.txt\n"
    "  rubato memory runs/pkm runs/res --plot use.svg     # of the runs' metrics.jsonl; training with --dev writes it\n"
    "Slots that are the best of some token (first) tell a collapse, which the slots that are used at all hide.\n",
    run};
