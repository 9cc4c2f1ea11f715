/* rubato augment: more training texts, by a masked language model. */
#include <string.h>

#include "base/progress.h"
#include "cli/command.h"
#include "cli/interrupt.h"

typedef struct showing {
    progress bar;
} showing;

static int show(void *user, size_t done, size_t all, double seconds) {
    showing *now = user;
    (void)seconds;
    progress_show(&now->bar, (double)done, (double)all);
    return interrupted();
}

static int run(const arguments *given) {
    rubato_augment_options options = given->augment;
    if (!options.data || !options.out)
        return report_usage("%s", "augment needs --data and --out; see rubato augment --help");
    showing now;
    rubato_augment_result *result;
    rubato_error error = {0};
    options.model = given->model;
    options.progress = show;
    options.progress_user = &now;
    warn_of_model(given, options.model);
    interrupt_watch(false);
    progress_begin(&now.bar, "augmenting", "", given->quiet);
    const rubato_status status = rubato_augment(&options, &result, &error);
    progress_end(&now.bar);
    if (status != RUBATO_OK) return report(&error);
    if (given->json) {
        printf("{\"out\": ");
        print_json_string(options.out, strlen(options.out));
        printf(", \"texts\": %zu, \"made\": %zu}\n", result->texts, result->made);
    } else {
        printf("%s: %zu texts, and %zu made of them\n", options.out, result->texts, result->made);
    }
    rubato_free(result);
    return finish_output(EXIT_OK);
}

const command command_augment = {
    "augment",
    "MODEL --data FILE --out FILE",
    "Makes more training texts: a masked language model replaces words (TinyBERT's data augmentation).",
    "augment.* json quiet help",
    "  rubato augment MODEL --data train.tsv --out more.tsv\n"
    "  rubato augment MODEL --data train.tsv --copies 10 --probability 0.3 --limit 10 --out some.tsv\n"
    "Labels stay. A teacher can judge the new texts instead: train --recipe tinybert --data more.tsv.\n",
    run};
