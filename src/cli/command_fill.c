/* rubato fill: the best tokens for each mask of a line. */
#include <stdlib.h>
#include <string.h>

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

static int each(void *user, session *s, const arguments *given, const record *records, size_t count,
                const rubato_input *inputs, rubato_costs **costs) {
    (void)user;
    (void)costs;
    size_t top = given->top ? given->top : 5;
    for (size_t i = 0; i < count; i++) {
        rubato_candidate *candidates;
        size_t masks;
        rubato_error error = {0};
        if (rubato_fill(s->context, &candidates, &masks, &inputs[i], top, &s->options, NULL, &error) != RUBATO_OK) {
            error.line = i + 1;
            return report_record(&error, records, count);
        }
        size_t each_mask = top < s->info->vocabulary ? top : s->info->vocabulary;
        int status = EXIT_OK;
        for (size_t m = 0; m < masks && status == EXIT_OK; m++) {
            if (given->json) putchar('[');
            for (size_t k = 0; k < each_mask && status == EXIT_OK; k++) {
                if (given->json && k) fputs(", ", stdout);
                status = print_candidate(s, given, &inputs[i], m, &candidates[m * each_mask + k]);
            }
            if (given->json) puts("]");
        }
        rubato_free(candidates);
        if (status != EXIT_OK) return status;
    }
    return EXIT_OK;
}

static int run(const arguments *given) {
    return for_each_row(given, &(row_work){.kind = RECORD_TEXT, .one_by_one = true, .each = each});
}

const command command_fill = {"fill",
                              "MODEL [FILE]",
                              "Gives the best tokens for each mask in each line.",
                              ROW_OPTIONS "top" RUN_OPTIONS,
                              "  echo 'Paris is the [MASK] of France.' | rubato fill MODEL --top 3\n"
                              "  rubato fill MODEL masked.txt --json\n",
                              run};
