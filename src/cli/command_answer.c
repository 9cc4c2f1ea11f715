/* rubato answer: the span of a context that answers a question. */
#include <stdlib.h>

#include "base/utf8.h"
#include "cli/command.h"

static int each(void *user, session *s, const arguments *given, const record *records, size_t count,
                const rubato_input *inputs, rubato_costs **costs) {
    (void)user;
    rubato_error error = {0};
    rubato_answer_span *spans = calloc(count, sizeof *spans);
    if (!spans) return report_text("out of memory");
    rubato_status status = rubato_answer(s->context, spans, inputs, count, &s->options, costs, &error);
    int result = status == RUBATO_OK ? EXIT_OK : report_record(&error, records, count);
    for (size_t i = 0; i < count && status == RUBATO_OK; i++) {
        rubato_answer_span span = spans[i];
        if (given->allow_empty && span.null_score > span.score) span = (rubato_answer_span){0, 0, span.null_score, 0};
        const record *r = &records[i];
        size_t first = utf8_byte_of(r->pair, r->pair_bytes, span.start);
        size_t last = utf8_byte_of(r->pair, r->pair_bytes, span.end);
        if (given->json) {
            print_row_begin(r);
            printf("\"answer\": ");
            print_json_string(r->pair + first, last - first);
            printf(", \"start\": %zu, \"end\": %zu, \"score\": ", span.start, span.end);
            print_float((double)span.score);
        } else {
            printf("%.*s  (%.3f)", (int)(last - first), r->pair + first, (double)span.score);
        }
        print_cost_member(given, rubato_costs_at(*costs, i));
        if (!given->json) putchar('\n');
        if (given->words && result == EXIT_OK) result = print_words(s, given, &inputs[i]);
        if (given->json) puts("}");
    }
    free(spans);
    return result;
}

static int run(const arguments *given) {
    return for_each_chunk(given, RECORD_QUESTION, each, NULL, NULL);
}

const command command_answer = {
    "answer",
    "MODEL [FILE]",
    "Answers questions from their contexts; lines are {\"question\", \"context\"} objects.",
    ROW_OPTIONS "text.stride text.special_as_text allow_empty words" RUN_OPTIONS,
    "  echo '{\"question\": \"Where?\", \"context\": \"She lived in Paris.\"}' | rubato answer MODEL --json\n"
    "  rubato answer MODEL questions.jsonl --stride 64 --json --cost\n",
    run};
