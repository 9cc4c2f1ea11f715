/* rubato pull: a model from the hub into the cache. */
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "cli/command.h"

typedef struct shown {
    progress bar;
    char file[128];
    bool quiet;
} shown;

static int show(void *user, const char *file, uint64_t done, uint64_t total) {
    shown *s = user;
    if (strncmp(s->file, file, sizeof s->file - 1) != 0) {
        progress_end(&s->bar);
        snprintf(s->file, sizeof s->file, "%s", file);
        progress_begin(&s->bar, s->file, "B", s->quiet);
    }
    progress_show(&s->bar, (double)done, (double)total);
    return 0;
}

static int run(const arguments *given) {
    shown s = {.quiet = given->quiet};
    rubato_pull_options options = given->pull;
    options.progress = show;
    options.progress_user = &s;
    char *path;
    rubato_error error = {0};
    rubato_status status = rubato_pull(given->model, &options, &path, &error);
    progress_end(&s.bar);
    if (status != RUBATO_OK) return report(&error);
    if (given->json) {
        printf("{\"path\": ");
        print_json_string(path, strlen(path));
        puts("}");
    } else {
        puts(path);
    }
    rubato_free(path);
    return finish_output(EXIT_OK);
}

const command command_pull = {"pull",
                              "ORG/NAME",
                              "Downloads a model into the Hugging Face cache and prints its folder.",
                              "pull.* json quiet help",
                              "  rubato pull sentence-transformers/all-MiniLM-L6-v2\n"
                              "  HF_ENDPOINT=http://127.0.0.1:8000 HF_TOKEN=... rubato pull org/name --revision v1\n",
                              run};
