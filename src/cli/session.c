/* Shared by commands: loading, reporting, the loop over the input. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "cli/command.h"

int report_text(const char *message) {
    fflush(stdout);
    fprintf(stderr, "rubato: %s\n", message);
    return EXIT_FAILED;
}

int report(const rubato_error *error) {
    report_text(error->message);
    return error->code == RUBATO_BAD_ARGUMENT ? EXIT_USAGE : EXIT_FAILED;
}

int report_usage(const char *format, const char *what) {
    fflush(stdout);
    fputs("rubato: ", stderr);
    fprintf(stderr, format, what); /* NOLINT: formats are literals of this program */
    fputc('\n', stderr);
    return EXIT_USAGE;
}

int check_windows(const arguments *given) {
    if (!given->text.stride || given->text.windows || given->late) return EXIT_OK;
    return report_usage("%s", "--stride is the overlap of windows: give --windows too");
}

void print_place(const char *file, size_t line) {
    fflush(stdout);
    fprintf(stderr, "rubato: %s%sline %zu: ", file ? file : "", file ? ": " : "", line);
}

/* --prompt, a name, and --prompt-text exclude each other. */
static int take_prompt(session *s, const arguments *given) {
    rubato_error error;
    if (!given->prompt) return EXIT_OK;
    if (given->run.prompt) return report_usage("%s", "--prompt and --prompt-text exclude each other");
    if (rubato_prompt(s->model, given->prompt, &s->options.prompt, &error) == RUBATO_OK) return EXIT_OK;
    return report_usage("%s. --prompt-text takes a text", error.message);
}

static void print_warnings(const arguments *given, const char *name, const rubato_model *model) {
    const rubato_info *info = rubato_model_info(model);
    for (size_t i = 0; i < info->warning_count && !given->quiet; i++)
        fprintf(stderr, "rubato: warning: %s: %s\n", name, info->warnings[i]);
}

void warn_of_model(const arguments *given, const char *name) {
    rubato_model *model;
    if (!name || rubato_model_describe(&model, name, NULL) != RUBATO_OK) return;
    print_warnings(given, name, model);
    rubato_model_destroy(model);
}

/* The model's warnings, and the options of texts and runs. */
static int take_options(session *s, const arguments *given) {
    s->info = rubato_model_info(s->model);
    print_warnings(given, given->model, s->model);
    s->options = given->run;
    s->options.text = &given->text;
    if (given->target_drop && given->run.budget)
        return report_usage("%s", "--budget and --target-drop exclude each other");
    if (given->target_drop) {
        snprintf(s->budget, sizeof s->budget, "drop:%s", given->target_drop);
        s->options.budget = s->budget;
    }
    return take_prompt(s, given);
}

int session_describe(session *s, const arguments *given) {
    rubato_error error;
    *s = (session){0};
    if (rubato_model_describe(&s->model, given->model, &error) != RUBATO_OK) return report(&error);
    int status = take_options(s, given);
    if (status != EXIT_OK) session_close(s);
    return status;
}

/* Whether the budget is one in milliseconds, among operating points. A number that is none, the run refuses. */
static bool wants_calibration(const session *s) {
    char *end = NULL;
    double number = s->options.budget ? strtod(s->options.budget, &end) : 0;
    return number > 0 && strcmp(end, "ms") == 0 && rubato_point_count(s->model) > 0;
}

static rubato_status calibrate(session *s, rubato_error *error) {
    rubato_calibration *calibration;
    rubato_status status = rubato_calibration_load(s->context, &calibration, error);
    if (status == RUBATO_OK) status = rubato_context_set_calibration(s->context, calibration, error);
    rubato_calibration_destroy(calibration);
    return status;
}

int session_open(session *s, const arguments *given) {
    rubato_error error;
    *s = (session){0};
    if (rubato_model_load_with(&s->model, given->model, &given->load, &error) != RUBATO_OK) return report(&error);
    int status = take_options(s, given);
    if (status != EXIT_OK) {
        session_close(s);
        return status;
    }
    if (rubato_context_create(&s->context, s->model, &given->context, &error) != RUBATO_OK ||
        (wants_calibration(s) && calibrate(s, &error) != RUBATO_OK)) {
        session_close(s);
        return report(&error);
    }
    return EXIT_OK;
}

void session_close(session *s) {
    rubato_context_destroy(s->context);
    rubato_model_destroy(s->model);
    *s = (session){0};
}

void print_kernels(const session *s, bool json) {
    const char *isa = rubato_context_isa(s->context), *no_tiles = rubato_context_no_tiles(s->context);
    if (json)
        printf("\"isa\": \"%s\", \"kernels\": \"%s\", \"no_tiles\": \"%s\"", isa, rubato_isa_words(isa), no_tiles);
    else
        printf("%s%s%s", rubato_isa_words(isa), *no_tiles ? "; no tiles: " : "", no_tiles);
}

int report_record(const rubato_error *error, const record *records, size_t count) {
    bool of_row = error->code == RUBATO_BAD_TEXT || error->code == RUBATO_BAD_ARGUMENT;
    if (!of_row || error->line == 0 || error->line > count) return report(error);
    record *row = (record *)(uintptr_t)&records[error->line - 1];
    row->why = strdup(error->message);
    return row->why ? EXIT_ROW : report_text("out of memory");
}

int finish_output(int status) {
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "rubato: cannot write to standard output\n");
        return EXIT_FAILED;
    }
    return status;
}
