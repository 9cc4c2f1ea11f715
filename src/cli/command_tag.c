/* rubato tag: entities, or one label a token. */
#include <string.h>

#include "base/utf8.h"
#include "cli/command.h"

static const char *cut(const record *r, size_t start, size_t end, size_t *bytes) {
    size_t first = utf8_byte_of(r->text, r->text_bytes, start), last = utf8_byte_of(r->text, r->text_bytes, end);
    *bytes = last - first;
    return r->text + first;
}

/* word: NULL for none. */
static void print_span(const record *r, const char *label, size_t start, size_t end, float score, const char *word) {
    size_t bytes;
    const char *text = cut(r, start, end, &bytes);
    printf("{\"label\": ");
    print_json_string(label, strlen(label));
    printf(", \"text\": ");
    print_json_string(text, bytes);
    if (word) {
        printf(", \"word\": ");
        print_json_string(word, strlen(word));
    }
    printf(", \"start\": %zu, \"end\": %zu, \"score\": ", start, end);
    print_float((double)score);
    putchar('}');
}

static void print_json_row(const session *s, const arguments *given, const record *r, const rubato_tags *tags,
                           const rubato_cost *cost) {
    print_row_begin(r);
    printf("\"%s\": [", given->tokens ? "tokens" : "entities");
    size_t count = given->tokens ? tags->token_count : tags->entity_count;
    for (size_t i = 0; i < count; i++) {
        if (i) fputs(", ", stdout);
        if (given->tokens)
            print_span(r, s->info->labels[tags->tokens[i].label], tags->tokens[i].start, tags->tokens[i].end,
                       tags->tokens[i].score, NULL);
        else
            print_span(r, tags->entities[i].label, tags->entities[i].start, tags->entities[i].end,
                       tags->entities[i].score, rubato_entity_word(tags, i));
    }
    putchar(']');
    print_cost_member(given, cost);
    puts("}");
}

static void print_text_row(const session *s, const arguments *given, const record *r, const rubato_tags *tags,
                           const rubato_cost *cost) {
    size_t bytes;
    if (given->tokens) {
        for (size_t i = 0; i < tags->token_count; i++) {
            const char *text = cut(r, tags->tokens[i].start, tags->tokens[i].end, &bytes);
            printf("%s%.*s/%s", i ? " " : "", (int)bytes, text, s->info->labels[tags->tokens[i].label]);
        }
    } else {
        for (size_t i = 0; i < tags->entity_count; i++) {
            const rubato_entity *e = &tags->entities[i];
            const char *text = cut(r, e->start, e->end, &bytes);
            printf("%s%s: %.*s (%.2f)", i ? ", " : "", e->label, (int)bytes, text, (double)e->score);
        }
    }
    print_cost_member(given, cost);
    putchar('\n');
}

static int each(void *user, session *s, const arguments *given, const record *records, size_t count,
                const rubato_input *inputs, rubato_costs **costs) {
    (void)user;
    rubato_tags *tags;
    rubato_error error = {0};
    if (rubato_tag(s->context, &tags, inputs, count, &s->options, costs, &error) != RUBATO_OK)
        return report_record(&error, records, count);
    for (size_t i = 0; i < count; i++) {
        if (given->json)
            print_json_row(s, given, &records[i], &tags[i], rubato_costs_at(*costs, i));
        else
            print_text_row(s, given, &records[i], &tags[i], rubato_costs_at(*costs, i));
    }
    rubato_tags_destroy(tags);
    return EXIT_OK;
}

static int run(const arguments *given) {
    return for_each_chunk(given, RECORD_TEXT, each, NULL, NULL);
}

const command command_tag = {"tag",
                             "MODEL [FILE]",
                             "Finds entities in each line; long lines are cut into windows (--stride).",
                             ROW_OPTIONS
                             "text.stride text.special_as_text tokens run.aggregation run.ignore_labels" RUN_OPTIONS,
                             "  echo 'Marie Curie lived in Paris.' | rubato tag MODEL --json\n"
                             "  rubato tag MODEL texts.txt --tokens --json\n"
                             "  rubato tag MODEL texts.txt --aggregation simple --ignore-labels O,MISC --json\n",
                             run};
