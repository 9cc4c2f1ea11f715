/* rubato classify: labels and their scores, or a regression model's value. */
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

static const char *const nsp_labels[] = {"next", "not_next"};

static int print_row(session *s, const arguments *given, const record *row, const rubato_input *input,
                     const scored_labels *what, const rubato_cost *cost) {
    int status = EXIT_OK;
    if (given->json) print_row_begin(row);
    if (s->info->task != RUBATO_TASK_REGRESSION) {
        status = print_labels(given, what);
    } else if (given->json) {
        printf("\"value\": ");
        print_float((double)what->scores[0]);
    } else {
        printf("%.4f", (double)what->scores[0]);
    }
    print_cost_member(given, cost);
    if (!given->json) putchar('\n');
    if (given->words && status == EXIT_OK) status = print_words(s, given, input);
    if (given->json) puts("}");
    return status;
}

static int each(void *user, session *s, const arguments *given, const record *records, size_t count,
                const rubato_input *inputs, rubato_costs **costs) {
    (void)user;
    bool nsp = s->info->task == RUBATO_TASK_NSP;
    size_t columns = nsp ? 2 : s->info->label_count;
    rubato_error error = {0};
    float *scores = malloc(count * (columns ? columns : 1) * sizeof *scores);
    if (!scores) return report_text("out of memory");
    rubato_status status = given->raw ? rubato_logits(s->context, scores, inputs, count, &s->options, costs, &error)
                                      : rubato_classify(s->context, scores, inputs, count, &s->options, costs, &error);
    int result = status == RUBATO_OK ? EXIT_OK : report_record(&error, records, count);
    for (size_t i = 0; i < count && result == EXIT_OK; i++)
        result = print_row(s, given, &records[i], &inputs[i],
                           &(scored_labels){nsp ? nsp_labels : s->info->labels, scores + i * columns, columns, false,
                                            s->info->multi_label},
                           rubato_costs_at(*costs, i));
    free(scores);
    return result;
}

static int run(const arguments *given) {
    if (given->raw && given->run.function_to_apply)
        return report_usage("%s", "--raw and --function-to-apply exclude each other");
    if (given->words && given->text.windows)
        return report_usage("%s", "--words shows the words of one window; with --windows there may be several");
    int status = check_windows(given);
    return status == EXIT_OK ? for_each_chunk(given, RECORD_TEXT, each, NULL, NULL) : status;
}

const command command_classify = {
    "classify",
    "MODEL [FILE]",
    "Gives the label of each line (or pair, with --jsonl); for a regression model the value.",
    ROW_OPTIONS "text.truncation text.left text.windows text.stride text.special_as_text top run.function_to_apply raw "
                "words" RUN_OPTIONS,
    "  echo 'A fine film.' | rubato classify MODEL --json\n"
    "  rubato classify MODEL texts.txt --top 3\n"
    "  echo '{\"text\": \"A man sleeps.\", \"pair\": \"Nobody is awake.\"}' | rubato classify MODEL --jsonl --json\n"
    "  echo 'A fine film.' | rubato classify MODEL --budget 0.4x --words --cost\n"
    "  rubato classify MODEL articles.jsonl --windows\n",
    run};
