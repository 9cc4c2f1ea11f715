/* rubato fill: the best tokens for each mask of a line. */
#include <stdlib.h>
#include <string.h>

#include "base/text_list.h"
#include "cli/command.h"

static int print_candidate(const session *s, const arguments *given, const rubato_input *input, size_t mask,
                           const rubato_candidate *candidate) {
    char *sequence;
    rubato_error error;
    size_t bytes;
    if (rubato_fill_text(s->model, input, mask, candidate->id, &sequence, &error) != RUBATO_OK) return report(&error);
    const char *text = rubato_token(s->model, candidate->id, &bytes);
    if (given->json) {
        printf("{\"token\": ");
        print_json_string(text ? text : "", bytes);
        printf(", \"score\": ");
        print_float((double)candidate->score);
        printf(", \"sequence\": ");
        print_json_string(sequence, strlen(sequence));
        putchar('}');
    } else {
        printf("%8.4f  %-16.*s %s\n", (double)candidate->score, (int)bytes, text ? text : "", sequence);
    }
    rubato_free(sequence);
    return EXIT_OK;
}

/* The tokens of --targets; NULL without the option. */
typedef struct target_list {
    int32_t *ids;
    size_t count;
} target_list;

static int each(void *user, session *s, const arguments *given, const record *records, size_t count,
                const rubato_input *inputs, rubato_costs **costs) {
    const target_list *targets = user;
    (void)costs;
    size_t top = given->top ? given->top : 5;
    for (size_t i = 0; i < count; i++) {
        rubato_candidate *candidates;
        size_t masks, each_mask;
        rubato_error error = {0};
        if (rubato_fill_among(s->context, &candidates, &masks, &each_mask, &inputs[i], targets->ids, targets->count,
                              top, &s->options, NULL, &error) != RUBATO_OK) {
            error.line = i + 1;
            return report_record(&error, records, count);
        }
        int status = EXIT_OK;
        /* a plain line gives a list for each mask, an object with other members one object */
        bool named = given->json && records[i].kept;
        if (named) print_row_begin(&records[i]);
        if (named) fputs("\"masks\": [", stdout);
        for (size_t m = 0; m < masks && status == EXIT_OK; m++) {
            if (given->json) fputs(named && m ? ", [" : "[", stdout);
            for (size_t k = 0; k < each_mask && status == EXIT_OK; k++) {
                if (given->json && k) fputs(", ", stdout);
                status = print_candidate(s, given, &inputs[i], m, &candidates[m * each_mask + k]);
            }
            if (given->json) fputs(named ? "]" : "]\n", stdout);
        }
        if (named) puts("]}");
        rubato_free(candidates);
        if (status != EXIT_OK) return status;
    }
    return EXIT_OK;
}

/* Adds the token of a target, with a warning where that is another word. */
static int add_target(const session *s, const arguments *given, const char *text, target_list *out) {
    int32_t id;
    int exact;
    rubato_error error;
    if (rubato_fill_target(s->model, text, &id, &exact, &error) != RUBATO_OK) return report(&error);
    const char *name = id >= 0 ? rubato_token(s->model, id, NULL) : NULL;
    if (!exact && !given->quiet && name)
        fprintf(stderr, "rubato: warning: --targets: \"%s\" is no token of the model; \"%s\" is used\n", text, name);
    else if (!exact && !given->quiet)
        fprintf(stderr, "rubato: warning: --targets: \"%s\" has no token of the model and is left out\n", text);
    if (id >= 0) out->ids[out->count++] = id;
    return EXIT_OK;
}

static int find_targets(const session *s, const arguments *given, target_list *out) {
    size_t count;
    char **texts = text_list_split(given->targets, &count);
    out->ids = texts ? calloc(count + 1, sizeof *out->ids) : NULL;
    int status = out->ids ? EXIT_OK : report_text("out of memory");
    for (size_t i = 0; i < count && status == EXIT_OK; i++) status = add_target(s, given, texts[i], out);
    if (status == EXIT_OK && out->count == 0) status = report_usage("--targets: \"%s\" has no target", given->targets);
    free(texts);
    return status;
}

static int run(const arguments *given) {
    session s;
    target_list targets = {0};
    int status = session_open(&s, given);
    if (status != EXIT_OK) return status;
    if (given->targets) status = find_targets(&s, given, &targets);
    if (status == EXIT_OK)
        status = session_run(&s, given,
                             &(row_work){.kind = RECORD_TEXT, .one_by_one = true, .each = each, .user = &targets});
    else
        session_close(&s);
    free(targets.ids);
    return status;
}

const command command_fill = {"fill",
                              "MODEL [FILE]",
                              "Gives the best tokens for each mask in each line.",
                              ROW_OPTIONS "top targets" RUN_OPTIONS,
                              "  echo 'Paris is the [MASK] of France.' | rubato fill MODEL --top 3\n"
                              "  echo 'Paris is the [MASK] of France.' | rubato fill MODEL --targets capital,heart\n"
                              "  rubato fill MODEL masked.txt --json\n",
                              run};
