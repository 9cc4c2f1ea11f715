/* The loop over the rows of a command's input. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/progress.h"
#include "cli/command.h"

enum { FIRST_ROWS = 64, SHOWN_ERRORS = 10 };
#define MOST_MS 1000.0

typedef struct looping {
    session *s;
    const arguments *given;
    const row_work *work;
    record *records;
    rubato_input *inputs; /* [CHUNK_LINES] */
    size_t refused;
    progress bar;
    size_t done, running; /* rows that are answered, and rows of the run that is under way */
    double total;         /* of all rows; 0: unknown */
} looping;

/* Shows how far a run is: its rows may be long. */
static int show_run(void *user, size_t done, size_t all) {
    looping *l = user;
    progress_show(&l->bar, (double)l->done + (double)(l->running * done) / (double)(all ? all : 1), l->total);
    return 0;
}

void print_row_begin(const record *r) {
    printf("{%s", r->kept ? r->kept : "");
}

/* The row of an error stands where its answer would. */
static int refuse_row(looping *l, const record *r) {
    const char *why = r->why ? r->why : "out of memory";
    if (l->refused++ < SHOWN_ERRORS && !l->given->quiet) {
        print_place(r->file, r->line);
        fprintf(stderr, "%s\n", why);
    }
    if (l->given->on_error == ON_ERROR_STOP) return EXIT_FAILED;
    if (l->work->refused) return l->work->refused(l->work->user, l->given, r);
    if (l->given->on_error == ON_ERROR_SKIP) return EXIT_OK;
    if (l->given->json) {
        print_row_begin(r);
        printf("\"error\": ");
        print_json_string(why, strlen(why));
        printf(", \"line\": %zu}\n", r->line);
    } else {
        printf("error: %s\n", why);
    }
    return EXIT_OK;
}

/* Rows [first, end) have no known error. Where a run finds one, the rows before it and behind it run again. */
static int answer_rows(looping *l, size_t first, size_t end) {
    while (first < end) {
        rubato_costs *costs = NULL;
        size_t count = l->work->one_by_one ? 1 : end - first, bad = first;
        int status = l->work->each(l->work->user, l->s, l->given, l->records + first, count, l->inputs + first, &costs);
        rubato_free(costs);
        if (status == EXIT_OK) {
            first += count;
            continue;
        }
        if (status != EXIT_ROW) return status;
        while (!l->records[bad].why) bad++;
        status = answer_rows(l, first, bad);
        if (status == EXIT_OK) status = refuse_row(l, &l->records[bad]);
        if (status != EXIT_OK) return status;
        first = bad + 1;
    }
    return EXIT_OK;
}

static int answer_chunk(looping *l, size_t count) {
    int status = EXIT_OK;
    for (size_t i = 0; i < count; i++)
        l->inputs[i] = (rubato_input){.text = l->records[i].text,
                                      .text_bytes = l->records[i].text_bytes,
                                      .pair = l->records[i].pair,
                                      .pair_bytes = l->records[i].pair_bytes};
    for (size_t first = 0, end; first < count && status == EXIT_OK; first = end) {
        for (end = first; end < count && !l->records[end].why;) end++;
        status = answer_rows(l, first, end);
        if (end < count && status == EXIT_OK) status = refuse_row(l, &l->records[end++]);
    }
    return status;
}

static int run_rows(looping *l, reader *input) {
    int status = EXIT_OK;
    bool at_once =
        l->given->line_buffered || ((!l->given->file || strcmp(l->given->file, "-") == 0) && isatty(STDIN_FILENO));
    size_t most = at_once ? 1 : FIRST_ROWS, count;
    /* answers on a terminal show by themselves how far the command is */
    progress_begin(&l->bar, "rows", "", l->given->quiet || (isatty(STDOUT_FILENO) && !l->work->finish));
    l->s->options.progress = show_run;
    l->s->options.progress_user = l;
    for (;;) {
        status = reader_next(input, most, &l->records, &count);
        if (status != EXIT_OK || count == 0) break;
        double begin = clock_ms(), share = reader_share(input);
        l->running = count;
        l->total = share > 0 ? (double)(l->done + count) / share : 0;
        status = answer_chunk(l, count);
        if (status != EXIT_OK || (l->work->stop && l->work->stop(l->work->user))) break;
        const double ms = clock_ms() - begin;
        if (!at_once && ms < MOST_MS / 2 && most < CHUNK_LINES) most *= 2;
        if (!at_once && ms > MOST_MS && most > 1) most /= 2;
        l->done += count;
        fflush(stdout);
        progress_show(&l->bar, (double)l->done, l->total);
    }
    l->s->options.progress = NULL;
    progress_end(&l->bar);
    return status;
}

int session_run(session *s, const arguments *given, const row_work *work) {
    reader *input = NULL;
    looping l = {.s = s, .given = given, .work = work, .inputs = calloc(CHUNK_LINES, sizeof *l.inputs)};
    int status = l.inputs ? reader_open(&input, given, work->kind) : report_text("out of memory");
    if (status == EXIT_OK) status = run_rows(&l, input);
    if (status == EXIT_OK && work->finish) status = work->finish(work->user, s, given);
    if (l.refused > SHOWN_ERRORS && !given->quiet)
        fprintf(stderr, "rubato: %zu rows could not be answered; the first %d are above\n", l.refused, SHOWN_ERRORS);
    if (status == EXIT_OK && l.refused) status = EXIT_FAILED;
    reader_close(input);
    free(l.inputs);
    session_close(s);
    return finish_output(status);
}

int for_each_row(const arguments *given, const row_work *work) {
    session s;
    int status = session_open(&s, given);
    return status == EXIT_OK ? session_run(&s, given, work) : status;
}

int for_each_chunk(const arguments *given, record_kind kind, each_chunk *each, finish_input *finish, void *user) {
    return for_each_row(given, &(row_work){.kind = kind, .each = each, .finish = finish, .user = user});
}
