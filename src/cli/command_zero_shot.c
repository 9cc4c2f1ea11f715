/* rubato zero-shot: labels that the model was not trained for. */
#include <stdlib.h>
#include <string.h>

#include "base/text_list.h"
#include "cli/command.h"

typedef struct label_list {
    char **names;
    size_t count;
} label_list;

static int each(void *user, session *s, const arguments *given, const record *records, size_t count,
                const rubato_input *inputs, rubato_costs **costs) {
    const label_list *labels = user;
    const char *const *names = (const char *const *)labels->names;
    rubato_error error = {0};
    const rubato_zero_shot_options options = {.size = sizeof options,
                                              .hypothesis = given->hypothesis,
                                              .run = &s->options,
                                              .multi_label = given->multi_label ? 1 : 0};
    float *scores = calloc(count * labels->count, sizeof *scores);
    if (!scores) return report_text("out of memory");
    rubato_status status =
        rubato_zero_shot(s->context, scores, inputs, count, names, labels->count, &options, costs, &error);
    int result = status == RUBATO_OK ? EXIT_OK : report_record(&error, records, count);
    for (size_t i = 0; i < count && result == EXIT_OK; i++) {
        const scored_labels row = {names, scores + i * labels->count, labels->count, true, given->multi_label};
        if (given->json) print_row_begin(&records[i]);
        result = print_labels(given, &row);
        print_cost_member(given, rubato_costs_at(*costs, i));
        puts(given->json ? "}" : "");
    }
    free(scores);
    return result;
}

/* Labels are keys of an answer, so that none may be there twice. */
static int check_labels(const label_list *labels, const char *given) {
    if (!labels->count) return report_usage("--labels: \"%s\" has no label", given);
    for (size_t i = 0; i < labels->count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(labels->names[i], labels->names[j]) == 0)
                return report_usage("--labels: \"%s\" is there twice", labels->names[i]);
    return EXIT_OK;
}

static int run(const arguments *given) {
    label_list labels = {0};
    if (!given->labels) return report_usage("%s", "zero-shot needs --labels LIST, as sport,politics");
    labels.names = text_list_split(given->labels, &labels.count);
    if (!labels.names) return report_text("out of memory");
    int status = check_labels(&labels, given->labels);
    if (status == EXIT_OK) status = for_each_chunk(given, RECORD_TEXT, each, NULL, &labels);
    free(labels.names);
    return status;
}

const command command_zero_shot = {
    "zero-shot",
    "MODEL [FILE]",
    "Chooses among any labels for each line, by a model of natural language inference.",
    "labels template multi_label " ROW_OPTIONS "text.left text.special_as_text top" RUN_OPTIONS,
    "  echo 'The match went to penalties.' | rubato zero-shot MODEL --labels sport,politics,science\n"
    "  rubato zero-shot MODEL texts.txt --labels urgent,billing --multi-label --json\n"
    "  rubato zero-shot MODEL texts.txt --labels joy,anger --template 'The writer feels {}.' --budget 0.4x\n",
    run};
